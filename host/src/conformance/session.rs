//! `session`: opening, the state that another one opens with, who I am.

use super::bench::Bench;
use super::judge::{Judge, Outcome, holds, same};
use super::{Behaviour, behaviour};
use crate::types::ErrorKind;
use crate::{Origin, Session};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("open", with_a_state_sends_nothing, "A session opens with another one's state without a request"),
    behaviour!("open", ignores_a_state_that_does_not_fit, "A state that does not fit is ignored"),
    behaviour!(
        "open",
        without_options_is_refused,
        "A session without any option is invalid-argument, where one is required"
    ),
    behaviour!("state", serves_a_session_that_works, "A session opened with a state does what the first one does"),
    behaviour!("state", sends_nothing, "A session's state is told without a request"),
    behaviour!(
        "origins",
        are_origins_and_told_without_a_request,
        "Origins are scheme, host and port, and told without a request"
    ),
    behaviour!(
        "mark",
        is_sixteen_digits_and_told_without_a_request,
        "A session's mark is 16 hexadecimal digits, and told without a request"
    ),
    behaviour!(
        "tidy",
        refuses_what_is_no_mark,
        "Only what is a mark may be tidied after: anything else is invalid-argument"
    ),
    behaviour!("tidy", touches_no_target, "Tidying after a mark touches nothing that has not that mark"),
    behaviour!("whoami", is_who_check_told, "Who I am is who check said that I am"),
    behaviour!("whoami", is_the_owner_of_my_files, "My files belong to the user that whoami tells"),
];

async fn with_a_state_sends_nothing(b: &mut Bench) -> Outcome {
    let session = b.shared.open().await.done("open with a state")?;
    same("requests of open with a state", session.telemetry().counters().requests, 0)
}

async fn ignores_a_state_that_does_not_fit(b: &mut Bench) -> Outcome {
    for state in [b"".as_slice(), b"{}", b"\xff\x00 not a state", &[b'x'; 100_000]] {
        let shared = &b.shared;
        let opened = Session::open_with(&shared.plugin, &shared.options, &shared.policy, Some(state)).await;
        let mut session = opened.done(format!("open with a state of {} odd bytes", state.len()))?;
        session.exists(&shared.root).await.done("exists in that session")?;
    }
    Ok(())
}

async fn without_options_is_refused(b: &mut Bench) -> Outcome {
    if !b.shared.described.iter().any(|option| option.required) {
        return Err(super::judge::lacks("no option is required"));
    }
    let opened = Session::open(&b.shared.plugin, &crate::Options::new(), &b.shared.policy).await.map(drop);
    let error = opened.refused("open without options", &[ErrorKind::InvalidArgument])?;
    holds("its subject", error.subject.is_some_and(|name| !name.is_empty()), "an option's name", &"none")
}

async fn serves_a_session_that_works(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"seen by both").await?;
    let state = b.session.state().await.done("state")?;
    let shared = b.shared.clone();
    let opened = Session::open_with(&shared.plugin, &shared.options, &shared.policy, Some(&state)).await;
    let seen = opened.done("open with a state")?.read(&path, 0, None).await.done("read in that session")?;
    same("what the second session reads", seen, b"seen by both".to_vec())
}

async fn sends_nothing(b: &mut Bench) -> Outcome {
    let before = b.sent();
    // What is in it, or whether anything is, is the plugin's own affair.
    b.session.state().await.done("state")?;
    b.silent("state", before)
}

async fn are_origins_and_told_without_a_request(b: &mut Bench) -> Outcome {
    let before = b.sent();
    let origins = b.session.origins().await.done("origins")?;
    b.silent("origins", before)?;
    for text in origins {
        Origin::parse(&text).done(format!("reading {text} as an origin"))?;
    }
    Ok(())
}

async fn is_sixteen_digits_and_told_without_a_request(b: &mut Bench) -> Outcome {
    let before = b.sent();
    let mark = b.session.mark().await.done("mark")?;
    b.silent("mark", before)?;
    let digits = mark.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    holds("the mark", mark.len() == 16 && digits, "16 hexadecimal digits", &mark)
}

async fn refuses_what_is_no_mark(b: &mut Bench) -> Outcome {
    for mark in ["", "*", "0123456789ABCDEF", "0123456789abcde/", "0123456789abcdef0"] {
        let tidied = b.session.tidy(mark, &[]).await.map(drop);
        tidied.refused(format!("tidy after {mark:?}"), &[ErrorKind::InvalidArgument])?;
    }
    Ok(())
}

async fn touches_no_target(b: &mut Bench) -> Outcome {
    let path = b.file("file", b"stays").await?;
    let hidden = b.file(".0123456789abcdee-1.part", b"of another mark").await?;
    b.session.tidy("0123456789abcdef", std::slice::from_ref(&path)).await.done("tidy after a mark of nobody")?;
    b.content(&path, b"stays").await?;
    b.content(&hidden, b"of another mark").await
}

async fn is_who_check_told(b: &mut Bench) -> Outcome {
    let (told, me) = (b.shared.server.user.clone(), b.session.whoami().await.done("whoami")?);
    same("the user's name", me.name.as_str(), told.name.as_str())?;
    same("the user's number", me.uid, told.uid)?;
    let default = me.default_account.as_ref();
    let known = default.is_none_or(|account| me.accounts.is_empty() || me.accounts.contains(account));
    holds("the default account", known, format!("one of {:?}", me.accounts), &default)
}

async fn is_the_owner_of_my_files(b: &mut Bench) -> Outcome {
    let me = b.session.whoami().await.done("whoami")?;
    let path = b.file("mine", b"1").await?;
    let stat = b.session.stat(&path).await.done(format!("stat of {path}"))?;
    same("the owner's number", me.uid.unwrap_or(stat.uid), stat.uid)
}
