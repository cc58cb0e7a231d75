//! Starts the processes, makes happen what the plan says, watches, and draws the conclusion.

mod faults;
mod rolling;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::arm::Arm;
use crate::catalogue::{CATALOGUE, SERVICES, ServiceModel};
use crate::child::{Child, explain};
use crate::clock::Clock;
use crate::conclusion;
use crate::cpu::CpuMeter;
use crate::deploy::{self, Faulty};
use crate::insight::{self, Answer, Insight};
use crate::interrupt::Interrupt;
use crate::journal::{self, Journal};
use crate::limits;
use crate::message::{
    LoadDone, LoadLive, LoadNews, LoadOrder, LoadSetup, ShopNews, ShopOrder, ShopState,
};
use crate::options::{DemoOptions, Scene};
use crate::peak::Peak;
use crate::plain::Plain;
use crate::plan::{PhaseKind, Plan};
use crate::proxy::{Addresses, ProxyKind};
use crate::report::{OriginFigures, Report};
use crate::screen::{Key, Screen, Seen};
use crate::table::Style;

/// How long everything may take to be ready.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// How often the drawing, the children and the processes' CPU time are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Runs the demo to its end and prints what came of it.
///
/// Exits with 0 when the figures mean something, 1 when they are void, 2 when it could not be run at all
/// and 130 when it was interrupted. Call it from the main thread: programs that are started end with the
/// thread that started them.
pub fn run(options: &DemoOptions) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("starting the runtime: {error}")),
    };
    match runtime.block_on(direct(options)) {
        Ok(code) => ExitCode::from(code),
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("plimsoll demo: {why}");
    ExitCode::from(2)
}

/// What may happen to the director.
pub(crate) enum Event {
    Shop(usize, ShopNews),
    Load(LoadNews),
    Key(Key),
    Insight(Box<Answer>),
    /// The rollout began, or why it did not.
    Begun(Result<(), String>),
}

async fn direct(options: &DemoOptions) -> Result<u8, String> {
    let descriptors = limits::raise();
    let mut director = Director::new(options, descriptors)?;
    let mut interrupted =
        Interrupt::new().map_err(|error| format!("listening for signals: {error}"))?;
    let done = tokio::select! {
        done = director.run() => done?,
        () = interrupted.wait() => return Ok(130),
    };
    let Some(done) = done else { return Ok(130) };
    let report = director.report(&done);
    director.screen = None;
    conclusion::print(options, &report);
    if options.keep {
        director.keep();
        interrupted.wait().await;
    }
    Ok(u8::from(!report.void.is_empty()))
}

struct Director<'a> {
    options: &'a DemoOptions,
    plan: Plan,
    notes: Vec<String>,
    arms: [Arm; 2],
    load: Option<Child>,
    events: UnboundedReceiver<Event>,
    send: UnboundedSender<Event>,
    clock: Clock,
    screen: Option<Screen>,
    plain: Plain,
    insight: Insight,
    /// The program that is Plimsoll.
    program: Option<PathBuf>,
    phase: Option<usize>,
    /// When the first phase began.
    began: Option<Duration>,
    /// When the phase began that is on.
    phase_began: Duration,
    cpu: CpuMeter,
    interactive: bool,
    factor: f64,
    flood: bool,
    slow: bool,
    weak: bool,
    /// The endpoints of each arm that have a fault.
    faults: [Vec<Faulty>; 2],
    /// How many endpoints the rolling deploy has given the bad version to.
    replaced: usize,
    /// What came to the catalogue of each arm once it was back.
    returns: [Peak; 2],
    protections: bool,
    // Last: what is written into it must have ended.
    folder: tempfile::TempDir,
}

impl<'a> Director<'a> {
    fn new(options: &'a DemoOptions, descriptors: u64) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("plimsoll-demo-")
            .tempdir()
            .map_err(|error| format!("making a folder for temporary files: {error}"))?;
        let kinds = [
            options.against.map_or(ProxyKind::Plain, ProxyKind::Peer),
            options
                .stand_in
                .map_or(ProxyKind::Plimsoll, ProxyKind::Peer),
        ];
        let (send, events) = unbounded_channel();
        let arm = |index, kind| {
            // Where a rollout finds its version.
            let spare = options.scene == Scene::BadDeploy && index == 1;
            let (seed, send) = (options.seed, send.clone());
            Arm::start(index, kind, seed, spare, folder.path(), send)
        };
        let [without, with] = kinds;
        let arms = [arm(0, without)?, arm(1, with)?];
        let descriptors_per_request = kinds
            .iter()
            .map(|kind| kind.descriptors_per_request())
            .fold(0.0, f64::max);
        let load_max = limits::load_max(descriptors, descriptors_per_request);
        let plan = Plan::new(options.scene, options.length, load_max);
        let mut notes = Vec::new();
        if plan != Plan::new(options.scene, options.length, f64::INFINITY) {
            notes.push(format!(
                "Smaller than planned: {descriptors} open files are allowed (ulimit -n), so the flash sale is {load_max:.1} times the capacity."
            ));
        }
        Ok(Self {
            options,
            plan,
            notes,
            arms,
            load: None,
            events,
            send,
            clock: Clock::start(),
            screen: None,
            plain: Plain::default(),
            insight: Insight::default(),
            program: None,
            phase: None,
            began: None,
            phase_began: Duration::ZERO,
            cpu: CpuMeter::default(),
            interactive: false,
            factor: 1.0,
            flood: false,
            slow: false,
            weak: false,
            faults: Default::default(),
            replaced: 0,
            returns: Default::default(),
            protections: false,
            folder,
        })
    }

    /// `None` if a person ended it before there was anything to report, or nobody reads any more.
    async fn run(&mut self) -> Result<Option<LoadDone>, String> {
        self.start().await?;
        self.open_screen();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(Event::Load(LoadNews::Done(done))) => {
                        self.look_at_cpu();
                        return Ok(Some(*done));
                    }
                    Some(event) => {
                        if !self.on_event(event)? {
                            return Ok(None);
                        }
                    }
                    None => return Err("all parts of the demo are gone".to_owned()),
                },
                _ = tick.tick() => {
                    if let Some(why) = self.ended() {
                        return Err(why);
                    }
                    if self.plain.is_unread() {
                        return Ok(None);
                    }
                    self.go_on_replacing();
                }
            }
        }
    }

    /// Starts everything in the order in which it depends on each other.
    async fn start(&mut self) -> Result<(), String> {
        let ready = async {
            while self.arms.iter().any(|arm| arm.ports.is_empty()) {
                match self.events.recv().await {
                    Some(Event::Shop(index, ShopNews::Ready { ports })) => {
                        if let Some(arm) = self.arms.get_mut(index) {
                            arm.ports = ports;
                        }
                    }
                    Some(_) => (),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(START_TIME_MAX, ready).await.is_err() {
            return Err(self
                .ended()
                .unwrap_or_else(|| format!("the shops were not ready within {START_TIME_MAX:?}")));
        }
        let program = match &self.options.program {
            Some(program) => program.clone(),
            None => {
                std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?
            }
        };
        self.program = Some(program.clone());
        // Not before: the shops take any port that is free.
        let addresses =
            Addresses::free().map_err(|error| format!("finding free ports: {error}"))?;
        for (arm, addresses) in self.arms.iter_mut().zip(addresses) {
            arm.addresses = addresses;
            arm.start_proxy(&program, self.folder.path(), &self.plan)?;
        }
        for index in 0..self.arms.len() {
            self.await_proxy(index).await?;
        }
        self.print_header();
        let [without, with] = &self.arms;
        let setup = LoadSetup {
            seed: self.options.seed,
            plan: self.plan.clone(),
            arms: [without.front(), with.front()],
        };
        let mut load = Child::part(
            "generator",
            &["load"],
            self.folder.path(),
            self.send.clone(),
            Event::Load,
        )
        .map_err(|error| explain(&error))?;
        load.tell(&setup);
        self.load = Some(load);
        if with.kind == ProxyKind::Plimsoll {
            tokio::spawn(watch(with.addresses.console, self.send.clone()));
        }
        Ok(())
    }

    async fn await_proxy(&mut self, index: usize) -> Result<(), String> {
        let Some(front) = self.arms.get(index).map(Arm::front) else {
            return Ok(());
        };
        let end = self.clock.now() + START_TIME_MAX;
        while TcpStream::connect(front).await.is_err() {
            if let Some(why) = self.ended() {
                return Err(why);
            }
            if self.clock.now() > end {
                return Err(format!(
                    "nothing answered at {front} within {START_TIME_MAX:?}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn print_header(&mut self) {
        if self.options.json || self.draws() {
            return;
        }
        let titles = self.arms.each_ref().map(|arm| arm.kind.title());
        self.plain
            .header(self.options.seed, &self.plan, &titles, &self.notes);
    }

    fn draws(&self) -> bool {
        !self.options.plain
            && !self.options.json
            && std::io::stdout().is_terminal()
            && std::io::stdin().is_terminal()
    }

    fn open_screen(&mut self) {
        if self.draws() {
            self.screen = Screen::open(self.send.clone(), Style::of_output().ascii).ok();
        }
    }

    /// False when the demo is to end at once.
    fn on_event(&mut self, event: Event) -> Result<bool, String> {
        match event {
            Event::Shop(index, ShopNews::State(state)) => self.on_state(index, state),
            Event::Load(LoadNews::Phase { index }) => self.on_phase(index),
            Event::Load(LoadNews::Live(live)) => self.on_live(&live),
            Event::Load(LoadNews::Failed { why }) => return Err(why),
            Event::Load(LoadNews::Ready | LoadNews::Done(_))
            | Event::Shop(_, ShopNews::Ready { .. }) => (),
            Event::Insight(answer) => {
                if let Some(began) = self.began {
                    let at = self.clock.now().saturating_sub(began).as_secs_f64();
                    let new = self.insight.on_snapshot(at, &answer.snapshot);
                    if self.screen.is_none() && !self.options.json {
                        let events = self.insight.events.iter();
                        events
                            .rev()
                            .take(new)
                            .rev()
                            .for_each(|event| self.plain.on_event(event));
                    }
                }
                self.insight.guards = answer.guards;
            }
            Event::Begun(Ok(())) => (),
            Event::Begun(Err(why)) => {
                self.notes.push(format!("The rollout did not begin: {why}"));
            }
            Event::Key(Key::Interrupt) => return Ok(false),
            Event::Key(Key::End) if self.phase.is_none() => return Ok(false),
            Event::Key(key) => self.on_key(key),
        }
        Ok(true)
    }

    fn on_state(&mut self, index: usize, state: ShopState) {
        let kind = self
            .phase
            .and_then(|index| self.plan.phases.get(index))
            .map(|phase| phase.kind);
        if let Some(peak) = self.returns.get_mut(index)
            && let Some(catalogue) = state.services.get(CATALOGUE)
        {
            match kind {
                Some(PhaseKind::OriginDown) => peak.before(state.at, catalogue.arrived),
                Some(PhaseKind::Recovery) => peak.on_count(state.at, catalogue.arrived),
                _ => (),
            }
        }
        if let Some(arm) = self.arms.get_mut(index) {
            arm.state = state;
        }
    }

    fn on_phase(&mut self, index: usize) {
        self.phase = Some(index);
        let now = self.clock.now();
        self.began.get_or_insert(now);
        self.phase_began = now;
        self.look_at_cpu();
        let Some(phase) = self.plan.phases.get(index) else {
            return;
        };
        let kind = phase.kind;
        if self.screen.is_none() && !self.options.json {
            self.plain.on_phase(phase);
        }
        self.set_slow(kind == PhaseKind::SlowDependency);
        self.set_weak(kind == PhaseKind::LessCapacity);
        // On the left a person has rolled it back; on the right nobody does.
        self.replaced = 0;
        let (left, right) = match (kind, self.plan.deploy) {
            (PhaseKind::BadDeploy | PhaseKind::Recovery, Some(_)) => (Vec::new(), deploy::spare()),
            _ => (kind.faults().to_vec(), kind.faults().to_vec()),
        };
        self.set_faults([left, right]);
        if kind == PhaseKind::BadDeploy {
            self.go_on_replacing();
            self.begin_rollout();
        }
    }

    fn set_weak(&mut self, on: bool) {
        if self.weak != on {
            self.weak = on;
            self.arms
                .iter_mut()
                .for_each(|arm| arm.tell(&ShopOrder::Weak { on }));
        }
    }

    fn set_slow(&mut self, on: bool) {
        if self.slow != on {
            self.slow = on;
            let by = if on { self.plan.slow } else { Duration::ZERO };
            self.arms
                .iter_mut()
                .for_each(|arm| arm.tell(&ShopOrder::Slow { by }));
        }
    }

    fn on_live(&mut self, live: &LoadLive) {
        let cpu = self.cpu.share_at(self.clock.now(), &self.processes());
        let fault = self.fault();
        if let Some(screen) = &mut self.screen {
            let [without, with] = &self.arms;
            screen.draw(&Seen {
                seed: self.options.seed,
                plan: &self.plan,
                phase: self.phase,
                live,
                titles: [without.kind.name(), with.kind.name()],
                did: self.insight.events.last(),
                shops: [&without.state, &with.state],
                cpu,
                interactive: self.interactive,
                flood: self.flood,
                slow: self.slow,
                weak: self.weak,
                fault,
                guards: self.protections.then_some(&self.insight.guards),
            });
        } else if !self.options.json {
            self.plain.on_live(live);
        }
    }

    fn on_key(&mut self, key: Key) {
        if key == Key::End {
            if let Some(load) = &mut self.load {
                load.tell(&LoadOrder::End);
            }
            return;
        }
        if key == Key::Protections {
            self.protections = !self.protections;
            return;
        }
        self.interactive = true;
        match key {
            Key::Kill => {
                let are_well = self.faults.iter().all(Vec::is_empty);
                let faults: &[Faulty] = match are_well {
                    true => PhaseKind::CrashedEndpoint.faults(),
                    false => &[],
                };
                self.set_faults([faults.to_vec(), faults.to_vec()]);
            }
            Key::Slow => self.set_slow(!self.slow),
            Key::Flood => {
                self.flood = !self.flood;
                self.tell_load(&LoadOrder::Flood { on: self.flood });
            }
            Key::More => self.set_factor(self.factor * 1.5),
            Key::Less => self.set_factor(self.factor / 1.5),
            Key::Protections | Key::End | Key::Interrupt => (),
        }
    }

    /// No more than the plan's largest load, whatever the phase: the machine has other things to do.
    fn set_factor(&mut self, factor: f64) {
        let load = self
            .phase
            .and_then(|index| self.plan.phases.get(index))
            .map_or(1.0, |phase| phase.load);
        let load_max = self
            .plan
            .phases
            .iter()
            .map(|phase| phase.load)
            .fold(0.0, f64::max);
        self.factor = factor.clamp(0.1, (load_max / load).max(1.0));
        self.tell_load(&LoadOrder::Load {
            factor: self.factor,
        });
    }

    fn tell_load(&mut self, order: &LoadOrder) {
        if let Some(load) = &mut self.load {
            load.tell(order);
        }
    }

    /// A sentence about the first process that ended, if one has.
    fn ended(&mut self) -> Option<String> {
        let of_arms = self.arms.iter_mut().find_map(Arm::ended);
        of_arms.or_else(|| self.load.as_mut()?.ended())
    }

    fn look_at_cpu(&mut self) {
        self.cpu.on_phase(self.clock.now(), &self.processes());
    }

    /// All processes of the demo, this one included.
    fn processes(&self) -> Vec<u32> {
        let children = self.arms.iter().flat_map(Arm::children).chain(&self.load);
        children
            .map(Child::id)
            .chain([std::process::id()])
            .collect()
    }

    fn report(&mut self, done: &LoadDone) -> Report {
        let journal = self.journal();
        let deploy = self.deploy_figures(&journal);
        let [without, with] = &self.arms;
        let mut report = Report {
            scene: self.options.scene,
            seed: self.options.seed,
            proxies: [without.kind.title(), with.kind.title()],
            phases: conclusion::phases(&self.plan, done, Style::of_output().ascii),
            arms: conclusion::arms(&self.plan, done),
            cpu: self.cpu.share(),
            cpu_max: self.cpu.share_max(),
            void: Vec::new(),
            interactive: self.interactive,
            notes: self.notes.clone(),
            events: journal.events,
            origin: self
                .plan
                .has(PhaseKind::OriginDown)
                .then(|| self.origin_figures()),
            deploy,
            journal: journal.verified,
        };
        if let Some(why) = journal.broken {
            report.notes.push(format!(
                "The journal is not whole, so nothing is told from it: {why}"
            ));
        }
        report.void = conclusion::void(&report, done);
        report
    }

    fn origin_figures(&self) -> OriginFigures {
        OriginFigures {
            capacity: SERVICES.get(CATALOGUE).map_or(0.0, ServiceModel::capacity),
            most: self.returns.each_ref().map(Peak::most),
            tells: self.arms.each_ref().map(|arm| arm.kind.tells()),
        }
    }

    /// What the right arm has written of what it did, if it is one that writes.
    fn journal(&self) -> Journal {
        let [_, with] = &self.arms;
        match (with.kind, &self.program) {
            (ProxyKind::Plimsoll, Some(program)) => {
                let state = with.state(self.folder.path());
                journal::read(program, &state, |event| self.insight.when(event.at))
            }
            _ => Journal::default(),
        }
    }

    /// The right arm goes on; the rest ends.
    fn keep(&mut self) {
        self.load = None;
        let [without, with] = &mut self.arms;
        without.stop_proxy();
        self.plain.say(&format!(
            "
The right side keeps running, without load, until ^C:
  console  http://{}
  metrics  http://{}/metrics
  the shop http://{}/catalog/browse/1",
            with.addresses.console, with.addresses.ops, with.addresses.front,
        ));
    }
}

/// Asks the right arm how it is, for as long as anybody listens.
async fn watch(console: SocketAddr, events: UnboundedSender<Event>) {
    let mut tick = tokio::time::interval(insight::INTERVAL);
    loop {
        tick.tick().await;
        if let Some(answer) = insight::ask(console).await
            && events.send(Event::Insight(Box::new(answer))).is_err()
        {
            return;
        }
    }
}
