//! Users, their tokens, and who is asking.
//!
//! A token's secret is 32 random bytes that only its holder has: the station
//! keeps the hash. A secret that is missing, wrong, expired or revoked is one
//! and the same answer.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use strongroom_core::{digest::Digest, id::TokenId, name::Name};
use strongroom_store::NewToken;

use super::{App, AppError, clock::random};
use crate::api;

/// What every secret starts with, so that scanners can find a leaked one.
pub const SECRET_PREFIX: &str = "srt_";
/// The longest label of a token, in characters.
pub const LABEL_LEN_MAX: usize = 200;
/// How long a listener whose token runs out goes without a look at the clock,
/// which may have jumped.
const TOKEN_LOOK_MS: u64 = 60 * 1000;
/// Names that stand for something else in the audit record.
const RESERVED: [&str; 1] = ["station"];

/// Who is asking: the user and the token that proved it.
#[derive(Debug, Clone)]
pub struct Actor {
    pub user: Name,
    pub admin: bool,
    pub token: TokenId,
    /// When the token runs out, if ever.
    pub until_ms: Option<i64>,
}

impl Actor {
    /// Lets only an admin pass; for anyone else the thing is not there.
    pub fn admin(&self, what: &'static str) -> Result<(), AppError> {
        if self.admin {
            Ok(())
        } else {
            Err(AppError::NotFound(what))
        }
    }

    /// Lets only the owner of a name pass.
    pub fn owns(&self, owner: &Name, what: &'static str) -> Result<(), AppError> {
        if self.user == *owner {
            Ok(())
        } else {
            Err(AppError::NotFound(what))
        }
    }
}

/// Draws a new secret.
pub fn new_secret() -> String {
    format!("{SECRET_PREFIX}{}", BASE64.encode(random::<32>()))
}

/// What is stored of a secret.
pub fn secret_hash(secret: &str) -> Digest {
    Digest::of(secret.as_bytes())
}

/// Whether a text has the form of a secret: only such are looked up.
fn is_secret(raw: &str) -> bool {
    raw.strip_prefix(SECRET_PREFIX).is_some_and(|rest| {
        rest.len() == 43
            && rest
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    })
}

impl App {
    /// Who holds `secret`; `None` when nobody does any more.
    pub async fn actor(&self, secret: &str) -> Result<Option<Actor>, AppError> {
        if !is_secret(secret) {
            return Ok(None);
        }
        let session = self
            .store
            .token_find(&secret_hash(secret), self.now_ms())
            .await?;
        Ok(session.map(|found| Actor {
            user: found.user,
            admin: found.admin,
            token: found.token,
            until_ms: found.until_ms,
        }))
    }

    /// Lets only those pass whose token is still good: for answers that take
    /// their time.
    pub async fn still(&self, actor: &Actor) -> Result<(), AppError> {
        match self.store.token_stands(&actor.token, self.now_ms()).await? {
            true => Ok(()),
            false => Err(AppError::TokenGone),
        }
    }

    /// Waits until the token runs out. One that is revoked is news to everybody
    /// who listens.
    pub async fn token_ends(&self, actor: &Actor) {
        let Some(until_ms) = actor.until_ms else {
            return std::future::pending().await;
        };
        let left_ms = u64::try_from(until_ms.saturating_sub(self.now_ms())).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(left_ms.clamp(1, TOKEN_LOOK_MS))).await;
    }

    pub async fn user_add(&self, actor: &Actor, new: api::NewUser) -> Result<api::User, AppError> {
        actor.admin("page")?;
        if RESERVED.contains(&new.name.as_str()) {
            let detail = format!("the name `{}` stands for the station itself", new.name);
            return Err(AppError::Invalid {
                code: "reserved_name",
                detail,
            });
        }
        let now_ms = self.now_ms();
        self.store
            .user_add(&actor.user, &new.name, new.admin, now_ms)
            .await?;
        Ok(api::User {
            name: new.name,
            admin: new.admin,
            at_ms: now_ms,
        })
    }

    pub async fn user_list(
        &self,
        actor: &Actor,
        page: strongroom_store::Page,
    ) -> Result<api::Page<api::User>, AppError> {
        actor.admin("page")?;
        Ok(super::show::page(
            self.store.user_list(page).await?,
            super::show::user,
        ))
    }

    /// Makes a token; its secret is in this answer and nowhere else.
    pub async fn token_add(
        &self,
        actor: &Actor,
        new: api::NewToken,
    ) -> Result<api::Token, AppError> {
        let user = new.user.unwrap_or_else(|| actor.user.clone());
        if user != actor.user {
            actor.admin("user")?;
            if !self.store.user_exists(&user).await? {
                return Err(AppError::NotFound("user"));
            }
        }
        super::show::text_len("label", &new.label, LABEL_LEN_MAX)?;
        let now_ms = self.now_ms();
        if new.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            let detail = "until_ms: the time has passed already".to_owned();
            return Err(AppError::Invalid {
                code: "bad_time",
                detail,
            });
        }
        let secret = new_secret();
        let token = NewToken {
            id: TokenId::new(self.clock.id_ms(), random()),
            user: user.clone(),
            label: new.label.clone(),
            secret_hash: secret_hash(&secret),
            until_ms: new.until_ms,
        };
        let id = token.id.clone();
        self.store.token_add(&actor.user, token, now_ms).await?;
        Ok(api::Token {
            id,
            user,
            label: new.label,
            at_ms: now_ms,
            until_ms: new.until_ms,
            revoked: false,
            secret: Some(secret),
        })
    }

    pub async fn token_list(
        &self,
        actor: &Actor,
        user: Option<Name>,
    ) -> Result<api::Page<api::Token>, AppError> {
        let user = user.unwrap_or_else(|| actor.user.clone());
        if user != actor.user {
            actor.admin("user")?;
        }
        let tokens = self.store.token_list(&user).await?;
        Ok(api::Page {
            items: tokens.into_iter().map(super::show::token).collect(),
            next: None,
        })
    }

    /// Revokes one's own token, or any as an admin.
    pub async fn token_revoke(&self, actor: &Actor, id: &TokenId) -> Result<(), AppError> {
        let owner = if actor.admin { None } else { Some(&actor.user) };
        self.store
            .token_revoke(&actor.user, owner, id, self.now_ms())
            .await
            .map_err(|error| super::show::missing(error, "token"))?;
        // Whoever listens with it hears no more.
        self.watch.all_changed();
        Ok(())
    }
}
