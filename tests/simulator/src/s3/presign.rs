//! Presigned URLs, as the real server makes them: path style, signature version 4, the host as the one signed header.

use std::time::Duration;

use rusty_s3::actions::{CompleteMultipartUpload, GetObject, HeadObject, UploadPart};
use rusty_s3::{Bucket, BucketError, Credentials, S3Action as _, UrlStyle};

/// The region that everything is in.
pub(super) const REGION: &str = "us-east-1";

/// What a URL allows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action<'a> {
    Get,
    Head,
    Part { upload: &'a str, number: u16 },
    Complete { upload: &'a str },
}

/// Signs URLs with the store's key.
pub(crate) struct Signer {
    url: String,
    pub(super) key: String,
    pub(super) secret: String,
}

impl Signer {
    pub(super) fn new(url: &str) -> Result<Self, BucketError> {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let signer = Self { url: url.to_owned(), key: random(), secret: random() };
        signer.bucket("any").map(|_| signer)
    }

    fn bucket(&self, name: &str) -> Result<Bucket, BucketError> {
        Bucket::new(self.url.parse()?, UrlStyle::Path, name.to_owned(), REGION)
    }

    /// The store's base URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.url
    }

    /// A URL that allows one action on an object for so long.
    pub(crate) fn url(&self, bucket: &str, key: &str, action: Action<'_>, lifetime: Duration) -> String {
        let Ok(bucket) = self.bucket(bucket) else {
            return String::new();
        };
        let credentials = Credentials::new(self.key.as_str(), self.secret.as_str());
        let given = Some(&credentials);
        let url = match action {
            Action::Get => GetObject::new(&bucket, given, key).sign(lifetime),
            Action::Head => HeadObject::new(&bucket, given, key).sign(lifetime),
            Action::Part { upload, number } => UploadPart::new(&bucket, given, key, number, upload).sign(lifetime),
            Action::Complete { upload } => {
                CompleteMultipartUpload::new(&bucket, given, key, upload, std::iter::empty::<&str>()).sign(lifetime)
            }
        };
        url.into()
    }
}
