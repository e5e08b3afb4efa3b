//! Many futures at once, answers in order.

use std::cell::RefCell;
use std::future::Future;

use futures_util::future::{LocalBoxFuture, join_all};

/// Runs all of them to their end. How many requests are really under way is the client's bound.
///
/// The futures are boxed and the machinery behind them is made once for all: a few allocations beside a request are nothing, and
/// the component is tens of kilobytes smaller.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let futures: Vec<F> = futures.into_iter().collect();
    let slots: RefCell<Vec<Option<F::Output>>> = RefCell::new(futures.iter().map(|_| None).collect());
    let boxed = futures.into_iter().enumerate().map(|(i, future)| {
        let slots = &slots;
        let boxed: LocalBoxFuture<'_, ()> = Box::pin(async move {
            let output = future.await;
            slots.borrow_mut()[i] = Some(output);
        });
        boxed
    });
    run(boxed.collect()).await;
    slots.into_inner().into_iter().flatten().collect()
}

async fn run(futures: Vec<LocalBoxFuture<'_, ()>>) {
    join_all(futures).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_in_order() {
        let answers = futures_util::FutureExt::now_or_never(all((0..100).map(|i| async move { i * 2 })));
        assert_eq!(answers.unwrap(), (0..100).map(|i| i * 2).collect::<Vec<_>>());
    }
}
