//! placeholder until merged
use super::sealing::SealingKeys;
use std::sync::Arc;
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    pub(crate) sealing_keys: Arc<SealingKeys>,
}

impl NatsSettings {
    pub(crate) fn open(
        &self,
    ) -> Result<(Arc<dyn super::bucket::Bucket>, Arc<SealingKeys>), crate::store::StorageError> {
        unimplemented!()
    }
}
