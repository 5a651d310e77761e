//! The calls that a child process is answering, by our numbers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{self, OwnedPermit};

use super::fault::ChildFault;
use super::wire::{self, Outcome};

/// Messages about one call that wait for a caller who reads slowly. What is more is dropped: it is progress, and the
/// answer has a place of its own.
const WAITING: usize = 16;
/// The largest of them, in bytes.
const LARGEST_NOTE: usize = 64 * 1024;

/// What a call hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// A notification about it.
    Note(Bytes),
    /// Its answer.
    Answer(Bytes),
    Failed(ChildFault),
}

/// Whose call it is: nobody else may cancel it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner(pub(super) Box<[u8]>);

/// A call before it is sent.
#[derive(Debug)]
pub(super) struct Ticket {
    /// `None` for the broker's own.
    pub(super) owner: Option<Owner>,
    /// The caller's own id.
    pub(super) id: Box<RawValue>,
    /// Whether it is a `subscriptions/listen`.
    pub(super) listens: bool,
}

#[derive(Debug)]
struct Slot {
    ticket: Ticket,
    progress: Option<Box<RawValue>>,
    notes: mpsc::Sender<Heard>,
    answer: OwnedPermit<Heard>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    slots: HashMap<u64, Slot>,
    calls: usize,
    streams: usize,
    closed: bool,
}

impl Desk {
    /// A number for a call, and where its answer comes. At most `most` calls, and as many streams.
    ///
    /// # Errors
    ///
    /// [`ChildFault::Busy`], [`ChildFault::Ended`]
    pub(super) fn open(
        &self,
        ticket: Ticket,
        most: usize,
    ) -> Result<(u64, mpsc::Receiver<Heard>), ChildFault> {
        let (sender, receiver) = mpsc::channel(WAITING + 1);
        let notes = sender.clone();
        let answer = sender.try_reserve_owned().map_err(|_| ChildFault::Ended)?;
        let mut inner = self.inner();
        if inner.closed {
            return Err(ChildFault::Ended);
        }
        let count = if ticket.listens { &mut inner.streams } else { &mut inner.calls };
        if ticket.owner.is_some() {
            if *count >= most {
                return Err(ChildFault::Busy);
            }
            *count += 1;
        }
        inner.last += 1;
        let number = inner.last;
        inner.slots.insert(number, Slot { ticket, progress: None, notes, answer });
        Ok((number, receiver))
    }

    /// The progress token that the caller brought.
    pub(super) fn progresses(&self, number: u64, token: Box<RawValue>) {
        if let Some(slot) = self.inner().slots.get_mut(&number) {
            slot.progress = Some(token);
        }
    }

    /// Whether the call was still waiting: its caller is gone.
    pub(super) fn leave(&self, number: u64) -> bool {
        self.inner().take(number).is_some()
    }

    /// The one call of `owner` that has this id. `None` where there is none, or more than one: two windows of one client may
    /// count alike, and neither may end the other's.
    pub(super) fn find(&self, owner: &Owner, id: &RawValue) -> Option<u64> {
        let inner = self.inner();
        let mut found = inner.slots.iter().filter(|(_, slot)| {
            slot.ticket.owner.as_ref() == Some(owner) && slot.ticket.id.get() == id.get()
        });
        let (number, _) = found.next()?;
        found.next().is_none().then_some(*number)
    }

    /// Hands an answer to its caller.
    pub(super) fn answer(&self, number: u64, outcome: Outcome<'_>) {
        let Some(slot) = self.inner().take(number) else { return };
        let written = wire::answer(&slot.ticket.id, outcome, slot.ticket.listens);
        let heard = written.map_or(Heard::Failed(ChildFault::Garbage), Heard::Answer);
        slot.answer.send(heard);
    }

    /// Hands on progress, where its caller wants it.
    pub(super) fn progress(&self, number: u64, params: &RawValue) {
        self.note(number, |slot| wire::progress(slot.progress.as_deref()?, params));
    }

    /// Hands on what is heard on a stream.
    pub(super) fn heard(&self, number: u64, method: &str, params: &RawValue) {
        let sent = self.note(number, |slot| {
            let listens = slot.ticket.listens;
            listens.then(|| wire::heard(&slot.ticket.id, method, params)).flatten()
        });
        if !sent {
            // A stream with a gap would be believed: it ends, and its client opens another.
            self.cancelled(number);
        }
    }

    /// The server has given it up.
    pub(super) fn cancelled(&self, number: u64) {
        if let Some(slot) = self.inner().take(number)
            && !slot.ticket.listens
        {
            slot.answer.send(Heard::Failed(ChildFault::GivenUp));
        }
    }

    /// One call fails.
    pub(super) fn fail(&self, number: u64, fault: ChildFault) {
        if let Some(slot) = self.inner().take(number) {
            slot.answer.send(Heard::Failed(fault));
        }
    }

    /// Every call fails; others may come.
    pub(super) fn fail_all(&self, fault: ChildFault) {
        let slots: Vec<_> = {
            let mut inner = self.inner();
            (inner.calls, inner.streams) = (0, 0);
            inner.slots.drain().collect()
        };
        for (_, slot) in slots {
            slot.answer.send(Heard::Failed(fault));
        }
    }

    /// Every call fails, and no other may come.
    pub(super) fn close(&self, fault: ChildFault) {
        self.inner().closed = true;
        self.fail_all(fault);
    }

    /// `false` where there was no room for it.
    fn note(&self, number: u64, write: impl FnOnce(&Slot) -> Option<Bytes>) -> bool {
        let inner = self.inner();
        let Some(slot) = inner.slots.get(&number) else { return true };
        match write(slot) {
            Some(note) if note.len() > LARGEST_NOTE => false,
            Some(note) => slot.notes.try_send(Heard::Note(note)).is_ok(),
            None => true,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, number: u64) -> Option<Slot> {
        let slot = self.slots.remove(&number)?;
        if slot.ticket.owner.is_some() {
            let count = if slot.ticket.listens { &mut self.streams } else { &mut self.calls };
            *count = count.saturating_sub(1);
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn ticket(owner: &str, id: &str) -> Ticket {
        Ticket { owner: Some(Owner(owner.as_bytes().into())), id: raw(id), listens: false }
    }

    #[test]
    fn a_call_is_cancelled_by_its_owner_alone_and_only_if_it_is_certain_which() {
        let desk = Desk::default();
        let (first, _heard) = desk.open(ticket("ada", "1"), 9).unwrap();
        let (_, _also) = desk.open(ticket("eve", "1"), 9).unwrap();
        let owner = |name: &str| Owner(name.as_bytes().into());
        assert_eq!(desk.find(&owner("ada"), &raw("1")), Some(first));
        assert_eq!(desk.find(&owner("ada"), &raw("\"1\"")), None);
        assert_eq!(desk.find(&owner("bob"), &raw("1")), None);
        let (_, _twice) = desk.open(ticket("ada", "1"), 9).unwrap();
        assert_eq!(desk.find(&owner("ada"), &raw("1")), None);
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let desk = Desk::default();
        let (number, _heard) = desk.open(ticket("ada", "1"), 1).unwrap();
        assert_eq!(desk.open(ticket("ada", "2"), 1).unwrap_err(), ChildFault::Busy);
        let stream = Ticket { listens: true, ..ticket("ada", "3") };
        assert!(desk.open(stream, 1).is_ok(), "streams have places of their own");
        assert!(desk.leave(number) && !desk.leave(number));
        assert!(desk.open(ticket("ada", "2"), 1).is_ok());
        desk.close(ChildFault::Ended);
        assert_eq!(desk.open(ticket("ada", "4"), 9).unwrap_err(), ChildFault::Ended);
    }

    #[test]
    fn a_flood_of_progress_leaves_room_for_the_answer() {
        let desk = Desk::default();
        let (number, mut heard) = desk.open(ticket("ada", "1"), 9).unwrap();
        desk.progresses(number, raw("5"));
        for _ in 0..1_000 {
            desk.progress(number, &raw(r#"{"progress":1}"#));
        }
        desk.answer(number, Outcome::Result(&raw("{}")));
        let mut notes = 0;
        while let Ok(Heard::Note(_)) = heard.try_recv() {
            notes += 1;
        }
        assert_eq!(notes, WAITING);
    }
}
