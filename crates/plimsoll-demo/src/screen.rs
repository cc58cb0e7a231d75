//! The live drawing on a terminal, and the keys a person presses on it.
//!
//! Invariant: however the demo ends, a panic included, the terminal is as it was before.

mod canvas;
mod history;
mod scene;
mod ship;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{PrintStyledContent, StyledContent};
use crossterm::terminal::{
    self, Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use tokio::sync::mpsc::UnboundedSender;

use crate::director::Event;
use crate::insight::Guard;
use crate::message::{Fault, LoadLive, ShopState};
use crate::plan::Plan;
use canvas::{Canvas, Cell};
use history::History;
use ship::Glyphs;

/// What a person may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Kill,
    Slow,
    Flood,
    /// Shows how the right arm's protections stand, or the endpoints again.
    Protections,
    More,
    Less,
    /// Leaves the rest out, and shows the figures so far.
    End,
    /// ^C, which a terminal in raw mode hands over as a key.
    Interrupt,
}

/// All that is drawn.
pub(crate) struct Seen<'a> {
    pub(crate) seed: u64,
    pub(crate) plan: &'a Plan,
    pub(crate) phase: Option<usize>,
    pub(crate) live: &'a LoadLive,
    pub(crate) titles: [&'static str; 2],
    pub(crate) shops: [&'a ShopState; 2],
    pub(crate) cpu: Option<f64>,
    pub(crate) interactive: bool,
    pub(crate) flood: bool,
    pub(crate) slow: bool,
    /// What the right arm did last.
    pub(crate) did: Option<&'a crate::report::Event>,
    pub(crate) weak: bool,
    /// The endpoint that has a fault, and which.
    pub(crate) fault: Option<(String, Fault)>,
    /// The right arm's protections, if somebody asked to see them.
    pub(crate) guards: Option<&'a Vec<Guard>>,
}

/// A terminal that is drawn on, until it is dropped.
pub(crate) struct Screen {
    glyphs: Glyphs,
    colour: bool,
    history: History,
    drawn: Option<Canvas>,
    closed: Arc<AtomicBool>,
}

/// How long the thread that reads keys waits before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(200);

impl Screen {
    /// Takes over the terminal; keys become events on `events`.
    pub(crate) fn open(events: UnboundedSender<Event>, ascii: bool) -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        terminal::enable_raw_mode()?;
        let closed = Arc::new(AtomicBool::new(false));
        // From here on, a failure below restores the terminal by dropping this.
        let screen = Self {
            glyphs: Glyphs { ascii },
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            history: History::default(),
            drawn: None,
            closed: Arc::clone(&closed),
        };
        execute!(io::stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        std::thread::spawn(move || read_keys(&events, &closed));
        Ok(screen)
    }

    /// Draws what changed since the last time.
    pub(crate) fn draw(&mut self, seen: &Seen) {
        self.history.on_seen(seen);
        let (width, height) =
            terminal::size().map_or((80, 24), |(w, h)| (usize::from(w), usize::from(h)));
        let canvas = scene::scene(seen, &self.history, width, height, self.glyphs);
        let whole = self
            .drawn
            .as_ref()
            .is_none_or(|drawn| !drawn.is_as_large_as(&canvas));
        // The terminal is gone: the demo will end by its signal.
        let _ = self.write(&canvas, whole);
        self.drawn = Some(canvas);
    }

    fn write(&self, canvas: &Canvas, whole: bool) -> io::Result<()> {
        let mut out = Vec::with_capacity(16 * 1024);
        if whole {
            queue!(out, Clear(ClearType::All))?;
        }
        let before = self
            .drawn
            .as_ref()
            .filter(|_| !whole)
            .map(Canvas::rows)
            .unwrap_or_default();
        for (row, cells) in canvas.rows().iter().enumerate() {
            if before.get(row) == Some(cells) {
                continue;
            }
            queue!(out, MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)))?;
            for run in cells.chunk_by(|a, b| a.ink == b.ink) {
                let Some(Cell { ink, .. }) = run.first() else {
                    continue;
                };
                let text: String = run.iter().map(|cell| cell.character).collect();
                queue!(
                    out,
                    PrintStyledContent(StyledContent::new(ink.style(self.colour), text))
                )?;
            }
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        restore();
    }
}

/// Does nothing to a terminal that is as it was.
fn restore() {
    if terminal::is_raw_mode_enabled().unwrap_or(false) {
        // No terminal any more: nothing to restore.
        let _ = execute!(io::stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

fn read_keys(events: &UnboundedSender<Event>, closed: &AtomicBool) {
    while !closed.load(Ordering::Relaxed) {
        match event::poll(KEY_WAIT) {
            Ok(true) => match event::read() {
                Ok(event::Event::Key(pressed)) if pressed.kind != KeyEventKind::Release => {
                    if let Some(key) = key(pressed)
                        && events.send(Event::Key(key)).is_err()
                    {
                        return;
                    }
                }
                Ok(_) => (),
                Err(_) => return,
            },
            Ok(false) => (),
            Err(_) => return,
        }
    }
}

fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.modifiers.contains(KeyModifiers::CONTROL) {
        return (pressed.code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    match pressed.code {
        KeyCode::Char('k') => Some(Key::Kill),
        KeyCode::Char('s') => Some(Key::Slow),
        KeyCode::Char('f') => Some(Key::Flood),
        KeyCode::Char('p') => Some(Key::Protections),
        KeyCode::Char('+' | '=') => Some(Key::More),
        KeyCode::Char('-' | '_') => Some(Key::Less),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::End),
        _ => None,
    }
}
