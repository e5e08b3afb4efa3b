//! Tokens: an RS256 key, the client-credentials grant, and the check of every request's token.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::pkcs1v15::{Signature, SigningKey, VerifyingKey};
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding, Signer, Verifier};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};

use crate::errors::ApiError;

/// The server refuses tokens with less left than this.
const MIN_TOKEN_TTL: f64 = 30.0;

/// The realm's path on the server.
pub(crate) const REALM: &str = "/auth/realms/kcrealm";

/// One key for all simulators of a process: making it takes a while, and each signs under its own key id.
fn key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| {
        RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("the system's random source gives an RSA key")
    })
}

pub(crate) struct Auth {
    client_id: String,
    client_secret: String,
    username: String,
    key_id: String,
    signing: SigningKey<Sha256>,
    verifying: VerifyingKey<Sha256>,
    public: RsaPublicKey,
    /// Tokens of an older generation are revoked.
    generation: AtomicU64,
    issued: AtomicU64,
    /// Seconds by which the clock of the servers, this one and the token's, is ahead.
    skew: AtomicI64,
}

impl Auth {
    pub(crate) fn new(client_id: String, client_secret: String, username: String) -> Self {
        let key = key().clone();
        Self {
            client_id,
            client_secret,
            username,
            key_id: uuid::Uuid::new_v4().simple().to_string(),
            public: key.to_public_key(),
            verifying: VerifyingKey::new(key.to_public_key()),
            signing: SigningKey::new(key),
            generation: AtomicU64::new(0),
            issued: AtomicU64::new(0),
            skew: AtomicI64::new(0),
        }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn client_secret(&self) -> &str {
        &self.client_secret
    }

    pub(crate) fn revoke_all(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn issued(&self) -> u64 {
        self.issued.load(Ordering::SeqCst)
    }

    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::SeqCst);
    }

    fn now(&self) -> f64 {
        unix(crate::knobs::skewed(SystemTime::now(), self.skew.load(Ordering::SeqCst)))
    }

    /// A signed token for a user.
    pub(crate) fn issue(&self, issuer: &str, username: &str, lifetime: Duration) -> String {
        let now = self.now() as u64;
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "exp": now + lifetime.as_secs(),
            "iat": now,
            "jti": uuid::Uuid::new_v4().to_string(),
            "iss": issuer,
            "aud": "account",
            "sub": uuid::Uuid::new_v4().to_string(),
            "typ": "Bearer",
            "azp": self.client_id,
            "client_id": self.client_id,
            "acr": "1",
            "scope": "openid",
            "preferred_username": username,
            "generation": self.generation.load(Ordering::SeqCst),
        });
        let text =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.signing.sign(text.as_bytes());
        self.issued.fetch_add(1, Ordering::SeqCst);
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The user of a request, from its `Authorization` header.
    pub(crate) fn user(&self, authorization: Option<&str>) -> Result<String, ApiError> {
        let anonymous = || ApiError::new(401, "Not authenticated").header("www-authenticate", "Bearer");
        let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or_else(anonymous)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(anonymous());
        }
        let refuse = |message: &str| ApiError::new(401, message).header("auth-token", token);
        let invalid = || refuse("Access token is invalid.");

        let mut parts = token.splitn(3, '.');
        let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let decode = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        let parsed = decode(header).ok_or_else(invalid)?;
        if parsed["kid"] != self.key_id.as_str() {
            return Err(refuse("Token's public key not found."));
        }
        let bytes = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
        let signature = Signature::try_from(bytes.as_slice()).map_err(|_| invalid())?;
        let text = &token[..header.len() + 1 + claims.len()];
        self.verifying.verify(text.as_bytes(), &signature).map_err(|_| invalid())?;
        let claims = decode(claims).ok_or_else(invalid)?;
        let left = claims["exp"].as_f64().unwrap_or(0.0) - self.now();
        if left <= 0.0 {
            return Err(refuse("Access token expired"));
        }
        if claims["generation"].as_u64() != Some(self.generation.load(Ordering::SeqCst)) {
            return Err(invalid());
        }
        if left < MIN_TOKEN_TTL {
            return Err(refuse("Access token expires too soon (less than 30s remaining)."));
        }
        claims["preferred_username"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| ApiError::new(400, "Authentication token 'preferred_username' claim is missing"))
    }

    /// The token endpoint: its status and body.
    pub(crate) fn grant(
        &self,
        issuer: &str,
        authorization: Option<&str>,
        form: &[(String, String)],
        lifetime: Duration,
    ) -> (u16, Value) {
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match field("grant_type") {
            Some("client_credentials") => {}
            Some(_) => {
                return (
                    400,
                    json!({"error": "unsupported_grant_type", "error_description": "Unsupported grant_type"}),
                );
            }
            None => {
                return (
                    400,
                    json!({"error": "invalid_request", "error_description": "Missing form parameter: grant_type"}),
                );
            }
        }
        let basic = authorization
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|value| STANDARD.decode(value.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let (id, secret) = match basic.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((id, secret)) => (crate::request::percent_decode(id), crate::request::percent_decode(secret)),
            None => (
                field("client_id").unwrap_or_default().to_owned(),
                field("client_secret").unwrap_or_default().to_owned(),
            ),
        };
        if id != self.client_id || secret != self.client_secret {
            return (
                401,
                json!({"error": "unauthorized_client", "error_description": "Invalid client or Invalid client credentials"}),
            );
        }
        let token = self.issue(issuer, &self.username, lifetime);
        (
            200,
            json!({
                "access_token": token,
                "expires_in": lifetime.as_secs(),
                "refresh_expires_in": 0,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "scope": "openid",
            }),
        )
    }

    /// The public key, as a JSON web key set.
    pub(crate) fn key_set(&self) -> Value {
        json!({ "keys": [{
            "kid": self.key_id,
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "n": URL_SAFE_NO_PAD.encode(self.public.n().to_bytes_be()),
            "e": URL_SAFE_NO_PAD.encode(self.public.e().to_bytes_be()),
        }]})
    }
}

pub(crate) fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |duration| duration.as_secs_f64())
}
