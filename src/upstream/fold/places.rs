//! Places for streams toward servers that are one client's alone: those of its resources, and those of servers that know their
//! callers.

use std::sync::Arc;

use crate::broker::Caller;
use crate::id::RequestId;
use crate::resource_server::Principal;

use super::hub::{Full, Hub, Place};

/// For one client's stream.
const OF_ITS_OWN: usize = 32;

/// Those of one client's stream.
#[derive(Debug)]
pub(super) struct Places {
    hub: Arc<Hub>,
    whose: Principal,
    request_id: RequestId,
    /// Whether the log has it that there are no more.
    told: bool,
}

impl Places {
    pub(super) fn of(hub: &Arc<Hub>, caller: &Caller) -> Self {
        Self::new(hub, caller.principal().clone(), caller.request_id())
    }

    fn new(hub: &Arc<Hub>, whose: Principal, request_id: RequestId) -> Self {
        Self { hub: Arc::clone(hub), whose, request_id, told: false }
    }

    /// One for a stream toward this server, beside so many. Too many are let go: the client is told of nothing there.
    pub(super) fn one_more(&mut self, server: &str, taken: usize) -> Option<Place> {
        let has_room = taken < OF_ITS_OWN;
        let place = if has_room { self.hub.place_for(&self.whose) } else { Err(Full::Stream) };
        place.inspect_err(|full| self.tell(server, *full)).ok()
    }

    fn tell(&mut self, server: &str, full: Full) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let (of, most) = match full {
            Full::Stream => ("stream", OF_ITS_OWN),
            Full::Person(most) => ("person", most),
            Full::All(most) => ("all", most),
        };
        let request_id = self.request_id;
        tracing::warn!(server, of, most, %request_id, "upstream.too_many_streams_of_callers");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use crate::random::SeededRandom;
    use crate::time::SystemClock;
    use crate::upstream::fold::last::tests::principal;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        /// What was written since.
        fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    #[tokio::test]
    async fn the_log_says_once_for_a_stream_whose_places_are_used_up() {
        let (lines, hub) = (Lines::default(), Hub::new());
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let _logging = tracing::subscriber::set_default(subscriber.finish());
        let claims = serde_json::json!({ "sub": "ada", "client_id": "agent", "scope": "a:read" });
        let ada = principal(claims).await;
        let stream = |number| {
            let request_id = RequestId::generate(&SystemClock, &SeededRandom::new(number));
            Places::new(&hub, ada.clone(), request_id)
        };
        let mut held = Vec::new();
        for number in 0..2 {
            let mut places = stream(number);
            held.extend((0..OF_ITS_OWN).map(|taken| places.one_more("weather", taken).unwrap()));
            assert!(places.one_more("docs", OF_ITS_OWN).is_none());
            assert!(places.one_more("mail", OF_ITS_OWN).is_none());
            let told = lines.take();
            assert_eq!(told.len(), 1, "{told:?}");
            let words =
                ["too_many_streams_of_callers", "server=\"docs\"", "of=\"stream\"", "most=32"];
            assert!(words.iter().all(|word| told[0].contains(word)), "{told:?}");
        }
        assert!(stream(2).one_more("docs", 0).is_none());
        let told = lines.take();
        assert!(told[0].contains("of=\"person\" most=64"), "{told:?}");
    }
}
