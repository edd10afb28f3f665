//! The world of one seed: what time it is, what lies on the disk and in the store, which incarnations
//! live, and whose turn it is.
//!
//! ```text
//!   loop:  a late request arrives? ─► a fault is due? ─► somebody's turn: a reader, a shard, the job
//!          thread or an I/O thread of any incarnation ─► all idle: time goes on
//!
//!   request of an incarnation ─► op(): dead? a fault is due? ─► done, refused, lost, or the end of it
//!                                      └► others have their turn in the middle of it
//! ```
//!
//! Invariants
//! - One thread does it all, and every choice comes from the seed: a seed repeats to the last step.
//! - An incarnation is dead from one request to the next: whatever it asks for from then on has no
//!   effect and fails, until the scheduler drops what is left of it.
//! - The world is never borrowed while code of an incarnation runs, as that comes back for its requests.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, sync::Arc};

use flott_connector::{
    StopSignal,
    io::{Step, Work},
};
use flott_engine::{
    Job, Status, Summary,
    stepped::{Stepped, Turn},
};

use super::{
    disk::DiskModel,
    faults::{Fault, How, Kind, What},
    log::LogModel,
    store::StoreModel,
};
use crate::kills::Random;

/// A request of an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    /// A claim or a manifest.
    Put,
    /// The mark of a manifest.
    Mark,
    Segment,
    Read,
    List,
    Delete,
    Create,
    Write,
    Sync,
    SyncDirectory,
    Rename,
    Remove,
    Entries,
    /// A producer is initialised.
    Fence,
    /// The last commit's number is asked for.
    Token,
    /// Rows go into a transaction.
    Produce,
    /// A transaction is committed.
    Commit,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// There is no room.
    Full,
    /// It fails for good.
    Broken,
    /// It takes effect, nobody hears of it.
    LostAnswer,
    /// It has no effect, nobody hears of it.
    LostRequest,
    /// It takes effect later, nobody hears of it.
    Late,
    /// The incarnation dies before it takes effect, or in the middle of it.
    Die(How),
    /// The incarnation dies when it has taken effect.
    DieAfter(How),
    /// The incarnation is dead already.
    Dead,
}

/// How an incarnation ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) process: usize,
    /// `None`: it died.
    pub(super) outcome: Option<(Summary, Option<String>)>,
}

struct Slot {
    run: Option<Box<Stepped>>,
    dead: bool,
    over: bool,
    stop: StopSignal,
    shards: usize,
    /// What has nothing to do until something else of it was done.
    idle: BTreeSet<usize>,
    /// A task that rarely has its turn.
    lame: usize,
    wall_skew: i64,
    /// Per table: chunks read, and how many there are.
    read: [(usize, usize); 2],
}

struct WorkerSlot {
    process: usize,
    work: Option<Box<dyn Work>>,
    done: bool,
}

/// Everything there is.
pub(super) struct World {
    pub(super) random: Random,
    /// Microseconds.
    pub(super) now: u64,
    pub(super) disk: DiskModel,
    pub(super) store: StoreModel,
    pub(super) log: LogModel,
    slots: Vec<Slot>,
    workers: Vec<WorkerSlot>,
    pub(super) faults: Vec<Fault>,
    pub(super) struck: Vec<Kind>,
    pub(super) ops: u64,
    pub(super) steps: u64,
    /// Disk requests that still find it full.
    full_for: u64,
    /// How many steps are under way within each other.
    depth: usize,
    pub(super) hash: u64,
    pub(super) trace: bool,
    pub(super) ends: Vec<End>,
    /// Another incarnation is to be started beside those that live.
    pub(super) wanted: usize,
    pub(super) start: Option<Starter>,
    pub(super) epochs_wanted: usize,
}

/// Makes the job of an incarnation: its number, its shards.
pub(super) type Starter = Rc<dyn Fn(usize, &StopSignal) -> (Job, usize)>;

impl Default for World {
    fn default() -> Self {
        Self {
            random: Random::new(0),
            now: 1_767_000_000_000_000,
            disk: DiskModel::default(),
            store: StoreModel::default(),
            log: LogModel::default(),
            slots: Vec::new(),
            workers: Vec::new(),
            faults: Vec::new(),
            struck: Vec::new(),
            ops: 0,
            steps: 0,
            full_for: 0,
            depth: 0,
            hash: 0xCBF2_9CE4_8422_2325,
            trace: false,
            ends: Vec::new(),
            wanted: 0,
            start: None,
            epochs_wanted: 3,
        }
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::default());
}

/// Looks at this thread's world, or changes it.
pub(super) fn with<T>(f: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|world| f(&mut world.borrow_mut()))
}

/// Puts another world in place; what is left of incarnations in the one before is dropped.
pub(super) fn replace(world: World) {
    with(|world| world.slots.iter_mut().for_each(|slot| slot.dead = true));
    let runs: Vec<_> = with(|world| world.slots.iter_mut().map(|slot| slot.run.take()).collect());
    drop(runs);
    let old = WORLD.with(|it| it.replace(world));
    drop(old);
}

impl World {
    fn note(&mut self, numbers: [u64; 3]) {
        for number in numbers {
            self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01B3);
        }
    }

    fn say(&self, text: &dyn Fn() -> String) {
        if self.trace {
            println!(
                "{:>7} {:>9} µs  {}{}",
                self.steps,
                self.now - 1_767_000_000_000_000,
                "  ".repeat(self.depth.saturating_sub(1)),
                text()
            );
        }
    }

    pub(super) fn is_dead(&self, process: usize) -> bool {
        self.slots.get(process).is_none_or(|slot| slot.dead)
    }

    pub(super) fn wall(&self, process: usize) -> i64 {
        let skew = self.slots.get(process).map_or(0, |slot| slot.wall_skew);
        i64::try_from(self.now).unwrap_or(i64::MAX).saturating_add(skew)
    }

    pub(super) fn has_read(&mut self, (process, table): (usize, usize), next: usize, all: usize) {
        if let Some(it) = self.slots.get_mut(process).and_then(|slot| slot.read.get_mut(table)) {
            *it = (next, all);
        }
    }

    pub(super) fn add_worker(&mut self, process: usize, work: Box<dyn Work>) -> usize {
        self.workers.push(WorkerSlot { process, work: Some(work), done: false });
        self.workers.len() - 1
    }

    pub(super) fn has_worker(&self, id: usize) -> bool {
        self.workers.get(id).is_some_and(|it| !it.done)
    }

    /// A worker's work, and whether its incarnation is dead.
    pub(super) fn take_worker(&mut self, id: usize) -> Option<(Box<dyn Work>, bool)> {
        let slot = self.workers.get_mut(id)?;
        slot.done = true;
        let process = slot.process;
        let work = slot.work.take()?;
        Some((work, self.is_dead(process)))
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm(&mut self) {
        self.faults.clear();
        (self.full_for, self.wanted) = (0, 0);
    }

    /// Incarnations that live.
    pub(super) fn living(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.over).count()
    }

    pub(super) fn started(&self) -> usize {
        self.slots.len()
    }

    /// Manifests that were ever written.
    pub(super) fn manifests(&self) -> u64 {
        self.store.manifests
    }

    /// Whether a reader may go on: far behind it there must be checkpoints, so that each run has some.
    fn may_read(&self, slot: &Slot, table: usize) -> bool {
        let (next, all) = slot.read.get(table).copied().unwrap_or_default();
        let done = self.store.manifests as usize;
        done >= self.epochs_wanted || next < all * (done + 1) / (self.epochs_wanted + 1)
    }

    /// Whose turn it is.
    fn choose(&mut self) -> Option<(usize, Who)> {
        let mut ready = Vec::with_capacity(16);
        for (process, slot) in self.slots.iter().enumerate() {
            let Some(run) = &slot.run else { continue };
            let tasks = run.tasks();
            let readers = if tasks == 1 { 0 } else { tasks - 1 - slot.shards };
            for task in (0..tasks).filter(|task| !slot.idle.contains(task)) {
                if task >= readers || self.may_read(slot, task) {
                    ready.push((process, Who::Task(task)));
                }
            }
        }
        for (id, worker) in self.workers.iter().enumerate() {
            let is_ready = |slot: &Slot| slot.run.is_some() && !slot.idle.contains(&(WORKERS + id));
            if worker.work.is_some() && self.slots.get(worker.process).is_some_and(is_ready) {
                ready.push((worker.process, Who::Worker(id)));
            }
        }
        for _ in 0..2 {
            let (process, who) = *ready.get(self.random.below(ready.len() as u64) as usize)?;
            let number = match who {
                Who::Task(task) => task,
                Who::Worker(id) => id,
            };
            let lame = self.slots.get(process).is_some_and(|slot| slot.lame == number % 8);
            if !lame || self.random.below(8) == 0 {
                return Some((process, who));
            }
        }
        ready.get(self.random.below(ready.len() as u64) as usize).copied()
    }

    fn busy(&mut self, process: usize, who: usize, turn: Turn) {
        let Some(slot) = self.slots.get_mut(process) else { return };
        match turn {
            Turn::Busy => slot.idle.clear(),
            Turn::Done => {
                slot.idle.clear();
                slot.idle.insert(who);
            }
            Turn::Idle => _ = slot.idle.insert(who),
        }
    }

    fn pass_time(&mut self) {
        self.now += 200 + self.random.below(8_000);
        self.slots.iter_mut().for_each(|slot| slot.idle.clear());
        if self.random.below(2) == 0 {
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        let late = if self.random.below(2) == 0 { self.log.deliver() } else { None };
        if let Some(name) = late.or_else(|| self.store.deliver()) {
            self.say(&|| format!("late: {name}"));
        }
    }

    /// The fault that is due at this request, if one is.
    fn fault(&mut self, op: Op) -> Option<Fault> {
        let ops = self.ops;
        let at = self.faults.iter().position(|fault| fault.is_due(op, ops))?;
        Some(self.faults.remove(at))
    }

    fn kill(&mut self, process: usize, how: How) {
        match how {
            How::Kill => {
                if let Some(slot) = self.slots.get_mut(process) {
                    slot.dead = true;
                }
            }
            How::PowerCut => {
                self.slots.iter_mut().for_each(|slot| slot.dead = true);
                let Self { disk, random, .. } = self;
                disk.cut_power(random);
            }
        }
        self.say(&|| format!("incarnation {process}: {how:?}"));
    }
}

const WORKERS: usize = 1000;

#[derive(Debug, Clone, Copy)]
enum Who {
    Task(usize),
    Worker(usize),
}

/// A request of an incarnation: what becomes of it.
pub(super) fn op(process: usize, op: Op, name: &dyn Fn() -> String) -> Verdict {
    let fault = with(|world| {
        if world.is_dead(process) {
            return Err(Verdict::Dead);
        }
        world.ops += 1;
        world.now += world.random.below(20);
        world.note([process as u64, op as u64, world.ops]);
        world.say(&|| format!("incarnation {process}: {op:?} {}", name()));
        if world.full_for > 0 && matches!(op, Op::Create | Op::Write | Op::Sync) {
            world.full_for -= 1;
            return Err(Verdict::Full);
        }
        Ok(world.fault(op))
    });
    let fault = match fault {
        Err(verdict) => return verdict,
        Ok(None) => return Verdict::Go,
        Ok(Some(fault)) => fault,
    };
    with(|world| {
        world.struck.push(fault.what.kind());
        world.say(&|| format!("fault: {:?}", fault.what));
    });
    match fault.what {
        What::Die { how, after: false } => Verdict::Die(how),
        What::Die { how, after: true } => Verdict::DieAfter(how),
        What::LostAnswer => Verdict::LostAnswer,
        What::LostRequest => Verdict::LostRequest,
        What::Late => Verdict::Late,
        What::StoreFull => Verdict::Full,
        What::DiskBroken => Verdict::Broken,
        What::DiskFull { requests } => {
            with(|world| world.full_for = requests);
            Verdict::Full
        }
        What::Second { steps } => {
            with(|world| world.wanted += 1);
            others(steps);
            alive(process)
        }
        What::Slow { millis, steps } => {
            with(|world| world.now += millis * 1000);
            others(steps);
            alive(process)
        }
        What::ClockJump { seconds } => {
            with(|world| {
                if let Some(slot) = world.slots.get_mut(process) {
                    slot.wall_skew += seconds * 1_000_000;
                }
            });
            Verdict::Go
        }
        What::Stop => {
            let stop = with(|world| world.slots.get(process).map(|slot| slot.stop.clone()));
            stop.iter().for_each(StopSignal::stop);
            Verdict::Go
        }
    }
}

/// The others may have cut the power meanwhile.
fn alive(process: usize) -> Verdict {
    if with(|world| world.is_dead(process)) { Verdict::Dead } else { Verdict::Go }
}

/// The incarnation dies.
pub(super) fn die(process: usize, how: How) {
    with(|world| world.kill(process, how));
}

/// Others have their turn in the middle of a request.
fn others(steps: u64) {
    if with(|world| world.depth) > 3 {
        return;
    }
    for _ in 0..steps {
        step();
    }
}

/// Starts an incarnation.
pub(super) fn start() {
    let stop = StopSignal::new();
    let made = with(|world| (world.start.clone(), world.slots.len()));
    let (Some(starter), process) = made else { return };
    with(|world| {
        let lame = world.random.below(16) as usize;
        world.slots.push(Slot {
            run: None,
            dead: false,
            over: false,
            stop: stop.clone(),
            shards: 0,
            idle: BTreeSet::new(),
            lame,
            wall_skew: 0,
            read: [(0, 0); 2],
        });
    });
    let (job, shards) = starter(process, &stop);
    with(|world| {
        world.say(&|| format!("incarnation {process} starts with {shards} shards"));
        if let Some(slot) = world.slots.get_mut(process) {
            slot.shards = shards;
            slot.run = Some(Box::new(Stepped::new(Arc::new(job))));
        }
    });
}

/// Somebody has a turn; if nobody has anything to do, time goes on.
pub(super) fn step() {
    let wanted = with(|world| {
        world.steps += 1;
        world.now += world.random.below(40);
        if world.random.below(64) == 0 {
            world.deliver();
        }
        std::mem::take(&mut world.wanted)
    });
    (0..wanted).for_each(|_| start());
    match with(World::choose) {
        None => with(World::pass_time),
        Some((process, Who::Worker(id))) => step_worker(process, id),
        Some((process, Who::Task(task))) => step_task(process, task),
    }
}

fn step_worker(process: usize, id: usize) {
    let Some(mut work) = with(|world| world.workers.get_mut(id).and_then(|it| it.work.take())) else {
        return;
    };
    let run = with(|world| world.slots.get_mut(process).and_then(|slot| slot.run.take()));
    with(|world| world.depth += 1);
    let step = work.step(false);
    with(|world| {
        world.depth -= 1;
        world.note([process as u64, (WORKERS + id) as u64, step as u64]);
        let turn = match step {
            Step::Busy => Turn::Busy,
            Step::Idle => Turn::Idle,
            Step::Done => Turn::Done,
        };
        world.busy(process, WORKERS + id, turn);
        if let Some(slot) = world.workers.get_mut(id) {
            slot.done |= step == Step::Done;
            slot.work = Some(work).filter(|_| step != Step::Done);
        }
    });
    put_back(process, run);
}

fn step_task(process: usize, task: usize) {
    let Some(mut run) = with(|world| world.slots.get_mut(process).and_then(|slot| slot.run.take())) else {
        return;
    };
    with(|world| world.depth += 1);
    let turn = run.step(task);
    with(|world| {
        world.depth -= 1;
        world.note([process as u64, task as u64, turn as u64]);
        world.busy(process, task, turn);
    });
    put_back(process, Some(run));
}

/// A step is done: the incarnation goes on, has ended, or is dead.
fn put_back(process: usize, run: Option<Box<Stepped>>) {
    bury();
    let Some(run) = run else { return };
    let dead = with(|world| world.is_dead(process));
    let outcome = run.outcome().map(|(summary, error)| {
        let error = error.as_ref().map(|it| format!("{} {}", it.code.id(), it.message));
        (summary.clone(), error)
    });
    if !dead && outcome.is_none() {
        with(|world| {
            if let Some(slot) = world.slots.get_mut(process) {
                slot.run = Some(run);
            }
        });
        return;
    }
    // Outside: what is dropped may still have something to write.
    drop(run);
    end(process, if dead { None } else { outcome });
}

fn end(process: usize, outcome: Option<(Summary, Option<String>)>) {
    with(|world| {
        let ended = |(summary, error): &(Summary, Option<String>)| {
            format!("{:?} {}", summary.status, error.clone().unwrap_or_default())
        };
        world.say(&|| {
            format!("incarnation {process} is over: {}", outcome.as_ref().map_or("dead".into(), ended))
        });
        if let Some(slot) = world.slots.get_mut(process) {
            slot.over = true;
        }
        world.ends.push(End { process, outcome });
    });
}

/// Drops what is left of incarnations that others have killed.
pub(super) fn bury() {
    loop {
        let found = with(|world| {
            let (process, slot) = world
                .slots
                .iter_mut()
                .enumerate()
                .find(|(_, slot)| slot.dead && !slot.over && slot.run.is_some())?;
            Some((process, slot.run.take()))
        });
        let Some((process, run)) = found else { return };
        drop(run);
        end(process, None);
    }
}

/// Kills all who live.
pub(super) fn kill_all() {
    with(|world| world.slots.iter_mut().for_each(|slot| slot.dead = true));
    bury();
}

/// Whether an end says that the job is through.
pub(super) fn is_finished(end: &End) -> bool {
    matches!(&end.outcome, Some((summary, None)) if summary.status == Status::Finished)
}
