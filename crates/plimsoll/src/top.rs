//! `plimsoll top`: the fleet, live, in the terminal.
//!
//! One thread asks for a snapshot each second; this one draws and reads keys, and never waits for the other.
//! Figures that are old say so, with the reason; they are not extended.
//! Elsewhere: what a row says (`status::row`), what a screen says (`frame`).

mod frame;

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::{cursor, queue, terminal};
use plimsoll_measure::Snapshot;

use crate::status::look::Look;
use crate::status::render_status;
use frame::View;

/// Between two snapshots.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the clock while no key is pressed.
const POLL: Duration = Duration::from_millis(200);

/// Shows snapshots until `q`. `fetch` may block; it runs on a thread of its own.
///
/// Where standard output is no terminal, it prints one status and returns.
///
/// # Errors
/// The terminal cannot be read or written, or not even the first snapshot came.
pub(crate) fn run_top(
    mut fetch: impl FnMut() -> Result<Snapshot, String> + Send + 'static,
) -> io::Result<()> {
    // The first one before the screen is taken: who is not there should be said on the plain terminal.
    let first = fetch().map_err(io::Error::other)?;
    if !io::stdout().is_terminal() {
        return io::stdout().write_all(render_status(&first, Look::of_stdout()).as_bytes());
    }
    let (sender, snapshots) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    std::thread::Builder::new()
        .name("fetch".to_owned())
        .spawn(move || {
            // Ends when the other side of either channel is gone.
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if sender.send(fetch()).is_err() {
                    break;
                }
            }
        })?;
    let screen = Screen::open()?;
    let shown = show(first, &snapshots);
    drop(screen);
    drop(stop);
    shown
}

fn show(first: Snapshot, snapshots: &Receiver<Result<Snapshot, String>>) -> io::Result<()> {
    let mut view = View::new(first);
    let mut heard = now();
    loop {
        loop {
            match snapshots.try_recv() {
                Ok(Ok(snapshot)) => {
                    view.on_snapshot(snapshot);
                    heard = now();
                }
                Ok(Err(reason)) => view.on_failure(reason),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    view.on_failure("nothing asks for data any more".to_owned());
                    break;
                }
            }
        }
        let (columns, rows) = terminal::size()?;
        let look = Look {
            width: usize::from(columns),
            ..Look::of_stdout()
        };
        draw(&view.lines(
            look,
            usize::from(rows),
            now().saturating_duration_since(heard),
        ))?;
        if event::poll(POLL)?
            && let Event::Key(key) = event::read()?
            && on_key(key, &mut view)
        {
            return Ok(());
        }
    }
}

/// Whether it is the end.
fn on_key(key: KeyEvent, view: &mut View) -> bool {
    if key.kind == KeyEventKind::Release {
        return false;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return true,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Up | KeyCode::Char('k') => view.select_by(-1),
        KeyCode::Down | KeyCode::Char('j') => view.select_by(1),
        KeyCode::PageUp => view.select_by(-10),
        KeyCode::PageDown => view.select_by(10),
        KeyCode::Home => view.select_by(isize::MIN),
        KeyCode::End => view.select_by(isize::MAX),
        _ => (),
    }
    false
}

/// Line by line over what is there: nothing flickers, and nothing is left of the frame before.
fn draw(lines: &[String]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    queue!(out, terminal::BeginSynchronizedUpdate)?;
    for (row, line) in lines.iter().enumerate() {
        queue!(
            out,
            cursor::MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX))
        )?;
        out.write_all(line.as_bytes())?;
        queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
    }
    queue!(
        out,
        terminal::Clear(terminal::ClearType::FromCursorDown),
        terminal::EndSynchronizedUpdate
    )?;
    out.flush()
}

/// The terminal while `top` has it; given back when this is dropped, also by a panic.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        let mut out = io::stdout();
        queue!(out, terminal::EnterAlternateScreen, cursor::Hide)?;
        out.flush()?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // There is nobody left to tell if this fails.
        let _ = queue!(out, cursor::Show, terminal::LeaveAlternateScreen);
        let _ = out.flush();
        let _ = terminal::disable_raw_mode();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell of commands that people watch: how old data is, and how long it still takes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
