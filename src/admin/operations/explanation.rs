//! Why requests were refused.

use crate::admin::error::AdminError;
use crate::broker::Explained;
use crate::id::RequestId;

use super::Operations;

impl Operations {
    /// What is on record of a request here. One of which nothing is on record is told as such, not as an error.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`] where no broker serves; [`AdminError::Log`], [`AdminError::Store`]
    pub async fn explain(&self, id: RequestId) -> Result<Explained, AdminError> {
        let explainer = self.serving()?.explainer.as_ref();
        let explainer = explainer.ok_or(AdminError::NotFound("explanation"))?;
        Ok(explainer.explain(id).await?)
    }
}
