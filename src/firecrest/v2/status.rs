//! `status/…`: what the server says of itself, and of the user.

use super::Api;
use super::lenient::{Node, Partition, Reservation, System, UserInfo};
use crate::error::{Error, Kind, Result};
use crate::firecrest::Call;

/// Names the server's version in the head of every answer with a token ("2.5.7"; "2.x.x" on development builds).
const VERSION_HEADER: &str = "f7t-appversion";

impl Api {
    /// All systems, and the server's version where it tells it.
    pub async fn systems(&self) -> Result<(Vec<System>, Option<String>)> {
        let subject = self.client.server();
        let answer = self.client.call(&Call::get(vec!["status", "systems"], vec![], &subject)).await?;
        let version = answer.headers.iter().find(|(name, _)| name == VERSION_HEADER).map(|(_, v)| v.trim().to_owned());
        let systems = System::read_all(&self.client.parse(&answer.bytes, &subject)?).ok_or_else(|| {
            let message =
                format!("what answers at {subject} is not a FirecREST that this plugin knows: it lists no systems");
            Error::new(Kind::Unavailable, message).about(&subject)
        })?;
        Ok((systems, version))
    }

    /// The user, as the cluster knows it.
    pub async fn user_info(&self) -> Result<UserInfo> {
        Ok(UserInfo::read(&self.client.fetch(&self.status_call("userinfo")).await?))
    }

    /// The queues.
    pub async fn partitions(&self) -> Result<Vec<Partition>> {
        Ok(Partition::read_all(&self.client.fetch(&self.status_call("partitions")).await?))
    }

    /// The nodes.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        Ok(Node::read_all(&self.client.fetch(&self.status_call("nodes")).await?))
    }

    /// The reservations.
    pub async fn reservations(&self) -> Result<Vec<Reservation>> {
        Ok(Reservation::read_all(&self.client.fetch(&self.status_call("reservations")).await?))
    }

    fn status_call(&self, what: &'static str) -> Call<'_> {
        Call::get(vec!["status", &self.system, what], vec![], &self.system)
    }
}
