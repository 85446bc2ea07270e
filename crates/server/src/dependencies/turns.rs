//! Whose build is next: no user has more than one at once, and a place that is
//! free goes to who has had none for longest.
//!
//! A build may hold its place for minutes, so one who asks for many may not keep
//! all others waiting behind them. Whoever asks first after being idle comes
//! behind those who wait by then. Absent on purpose: any weight of users.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use strongroom_core::name::Name;
use tokio::sync::oneshot;

/// Builds of one user at once.
pub(super) const OF_ONE_MAX: u32 = 1;
/// Builds of one user that wait.
const WAITING_OF_ONE_MAX: usize = 8;
/// Builds that wait, of all users.
const WAITING_MAX: usize = 32;

/// Too many wait already.
#[derive(Debug)]
pub(super) struct Crowded;

/// Places for builds, and who waits for them.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Places>>);

struct Places {
    free: u32,
    users: BTreeMap<Name, User>,
    /// Counts turns, so that what was earlier has the smaller number.
    count: u64,
}

/// Who builds, or waits to.
struct User {
    building: u32,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// When it came, or its last turn ended.
    since: u64,
}

/// A place for one build, which is free again when this is dropped.
pub(super) struct Turn {
    turns: Turns,
    who: Name,
}

impl Turns {
    pub(super) fn new(places: u32) -> Self {
        Self(Arc::new(Mutex::new(Places {
            free: places,
            users: BTreeMap::new(),
            count: 0,
        })))
    }

    /// Waits for a place. Whoever stops waiting leaves no gap.
    pub(super) async fn take(&self, who: &Name) -> Result<Turn, Crowded> {
        let waits = self.places().wait(who)?;
        self.hand_out();
        waits.await.map_err(|_| Crowded)
    }

    /// Gives away what is free.
    fn hand_out(&self) {
        let mut missed = Vec::new();
        let mut places = self.places();
        while let Some((who, waiting)) = places.next() {
            let turns = self.clone();
            // Who went away meanwhile gives it back, once nothing is locked.
            missed.extend(waiting.send(Turn { turns, who }).err());
        }
        drop(places);
        drop(missed);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn wait(&mut self, who: &Name) -> Result<oneshot::Receiver<Turn>, Crowded> {
        for user in self.users.values_mut() {
            user.waiting.retain(|waiting| !waiting.is_closed());
        }
        self.forget_idle();
        let all: usize = self.users.values().map(|user| user.waiting.len()).sum();
        let own = self.users.get(who).map_or(0, |user| user.waiting.len());
        if WAITING_MAX <= all || WAITING_OF_ONE_MAX <= own {
            return Err(Crowded);
        }
        self.count += 1;
        let since = self.count;
        let user = self.users.entry(who.clone()).or_insert(User {
            building: 0,
            waiting: VecDeque::new(),
            since,
        });
        let (to, waits) = oneshot::channel();
        user.waiting.push_back(to);
        Ok(waits)
    }

    /// Whose turn it is, if there is a place for one.
    fn next(&mut self) -> Option<(Name, oneshot::Sender<Turn>)> {
        if self.free == 0 {
            return None;
        }
        let may = |user: &User| user.building < OF_ONE_MAX && !user.waiting.is_empty();
        let users = self.users.iter_mut().filter(|(_, user)| may(user));
        let (who, user) = users.min_by_key(|(_, user)| user.since)?;
        let waiting = user.waiting.pop_front()?;
        self.free -= 1;
        user.building += 1;
        Some((who.clone(), waiting))
    }

    fn forget_idle(&mut self) {
        let is_idle = |user: &User| user.building == 0 && user.waiting.is_empty();
        self.users.retain(|_, user| !is_idle(user));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut places = self.turns.places();
        places.free += 1;
        places.count += 1;
        let now = places.count;
        if let Some(user) = places.users.get_mut(&self.who) {
            user.building -= 1;
            user.since = now;
        }
        places.forget_idle();
        drop(places);
        self.turns.hand_out();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt as _;

    use super::*;

    type Waits = Pin<Box<dyn Future<Output = Result<Turn, Crowded>>>>;

    fn asks(turns: &Turns, who: &str) -> Waits {
        let (turns, who) = (turns.clone(), who.parse::<Name>().unwrap());
        let mut waits: Waits = Box::pin(async move { turns.take(&who).await });
        // It is in the queue once it was looked at.
        match waits.as_mut().now_or_never() {
            Some(had) => Box::pin(std::future::ready(had)),
            None => waits,
        }
    }

    fn has(waits: &mut Waits) -> Option<Turn> {
        waits.as_mut().now_or_never().map(Result::unwrap)
    }

    #[test]
    fn one_user_never_holds_every_place_for_builds() {
        let turns = Turns::new(2);
        let first = has(&mut asks(&turns, "ada")).unwrap();
        let mut second = asks(&turns, "ada");
        assert!(has(&mut second).is_none());
        assert!(has(&mut asks(&turns, "ben")).is_some());
        drop(first);
        assert!(has(&mut second).is_some());
    }

    #[test]
    fn a_place_goes_to_who_has_had_none_for_longest() {
        let turns = Turns::new(1);
        let first = has(&mut asks(&turns, "ada")).unwrap();
        let mut of_ada: Vec<_> = (0..3).map(|_| asks(&turns, "ada")).collect();
        let (mut of_eve, mut of_ben) = (asks(&turns, "eve"), asks(&turns, "ben"));
        drop(first);
        let second = has(&mut of_eve).unwrap();
        let mut again = asks(&turns, "eve");
        drop(second);
        let third = has(&mut of_ben).unwrap();
        drop(third);
        let fourth = has(&mut of_ada[0]).unwrap();
        drop(fourth);
        let fifth = has(&mut again).unwrap();
        drop(fifth);
        assert!(has(&mut of_ada[1]).is_some());
    }

    #[test]
    fn who_goes_away_is_passed_over_and_leaves_no_gap() {
        let turns = Turns::new(1);
        let first = has(&mut asks(&turns, "ada")).unwrap();
        let (gone, mut stays) = (asks(&turns, "ben"), asks(&turns, "eve"));
        drop(gone);
        drop(first);
        let held = has(&mut stays).unwrap();
        // It was given one and never looked.
        let unseen = asks(&turns, "ben");
        drop(held);
        drop(unseen);
        assert!(has(&mut asks(&turns, "ada")).is_some());
        assert!(turns.places().users.is_empty());
    }

    #[test]
    fn one_user_who_asks_for_too_many_keeps_nobody_else_from_waiting() {
        let turns = Turns::new(1);
        let _held = has(&mut asks(&turns, "ada")).unwrap();
        let mut waiting: Vec<_> = (0..WAITING_OF_ONE_MAX)
            .map(|_| asks(&turns, "eve"))
            .collect();
        assert!(asks(&turns, "eve").now_or_never().unwrap().is_err());
        let others = (0..WAITING_MAX).map(|number| asks(&turns, &format!("u{number}")));
        waiting.extend(others.take(WAITING_MAX - WAITING_OF_ONE_MAX));
        assert!(asks(&turns, "last").now_or_never().unwrap().is_err());
        waiting.pop();
        assert!(asks(&turns, "last").now_or_never().is_none());
    }
}
