//! Log-ins that are over: by the same rules as the real ones, in memory.

use async_trait::async_trait;

use crate::store::*;
use crate::time::Timestamp;

use super::{FakeStore, Inner};

#[async_trait]
impl LogoutStore for FakeStore {
    async fn log_out(
        &self,
        which: &LogOut,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        let mut inner = self.lock();
        let over: Box<dyn Fn(&SessionRow) -> bool> = match which {
            LogOut::Session { session, left, .. } => {
                let session = *session;
                let of_it = |row: &&mut AuthorizationRequestRow| row.session == Some(session);
                for row in inner.requests.iter_mut().filter(of_it) {
                    row.session = row.session.filter(|_| Some(row.handle) != *left);
                }
                Box::new(move |row| row.session == session)
            }
            LogOut::Everywhere(user) => {
                let user = *user;
                Box::new(move |row| row.user_id == Some(user))
            }
            LogOut::Elsewhere(token) => {
                if inner.logout_tokens.contains(&token.jti) {
                    return Ok(None);
                }
                inner.logout_tokens.push(token.jti.clone());
                let token = token.clone();
                Box::new(move |row| {
                    row.login.issuer.as_ref() == Some(&token.issuer)
                        && (token.sid.is_none() || row.login.issuer_sid == token.sid)
                })
            }
        };
        let (ended, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inner.sessions).into_iter().partition(|row| over(row));
        inner.sessions = kept;
        let mut grants = 0;
        for sid in ended.iter().filter_map(|row| row.login.sid.as_ref()) {
            grants += inner.ends(which, sid, now);
        }
        Ok(Some(LoggedOut { sessions: ended.len() as u64, grants }))
    }
    async fn claim_logout_notices(
        &self,
        _claim: &NoticeClaim,
    ) -> Result<Vec<LogoutNotice>, StoreError> {
        Ok(std::mem::take(&mut self.lock().notices))
    }
    async fn put_off_logout_notice(
        &self,
        notice: &LogoutNotice,
        _next_at: Timestamp,
    ) -> Result<(), StoreError> {
        let notice = LogoutNotice { attempts: notice.attempts + 1, ..notice.clone() };
        self.lock().notices.push(notice);
        Ok(())
    }
    async fn end_logout_notice(&self, _notice: &LogoutNotice) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Inner {
    fn ends(&mut self, which: &LogOut, sid: &String, now: Timestamp) -> u64 {
        let mut count = 0;
        for grant in self.grants.iter_mut().filter(|grant| grant.login.sid.as_ref() == Some(sid)) {
            self.notices.push(LogoutNotice {
                sid: sid.clone(),
                client_id: grant.client_id.clone(),
                user_id: grant.user_id.unwrap(),
                attempts: 1,
            });
            let revoked = match which {
                LogOut::Session { revokes: Revokes::Client(id), .. } => *id == grant.client_id,
                LogOut::Session { revokes, .. } => *revokes == Revokes::Everything,
                LogOut::Everywhere(_) => false,
                LogOut::Elsewhere(_) => true,
            };
            if revoked && grant.revoked_at.is_none() {
                grant.revoked_at = Some(now);
                count += 1;
            }
        }
        count
    }
}
