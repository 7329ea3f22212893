//! What the screen wants done, carried out.

use std::{io::Write, time::Instant};

use data_encoding::BASE64;
use shared::limits::{CLIPBOARD_BYTES_MAX, SORTED_INLINE_MAX};

use super::{
    ScreenError, Shell,
    outside::{complete, follow, notice_bytes, open, survey, weigh},
};
use crate::app::{self, Effect, Event, index};

impl Shell {
    pub(super) async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), ScreenError> {
        let mut waiting = effects;
        // Small sorts are done at once, and may want more done.
        while !waiting.is_empty() {
            let mut next = Vec::new();
            for effect in waiting {
                self.carry_out_one(effect, &mut next)?;
            }
            waiting = next;
        }
        Ok(())
    }

    fn carry_out_one(&mut self, effect: Effect, next: &mut Vec<Effect>) -> Result<(), ScreenError> {
        match effect {
            Effect::Call { call, command } => {
                let task = self.tasks.spawn(follow(self.client.clone(), call, command, self.reports.clone()));
                self.calls.insert(call, task);
            }
            Effect::Drop { call } => {
                if let Some(task) = self.calls.remove(&call) {
                    task.abort();
                }
            }
            Effect::Arrange { which, generation, index, wanted } => {
                let arrange = move || {
                    let start = Instant::now();
                    let arranged = index::arrange(&index, &wanted);
                    let took_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                    (index.len(), Event::Arranged { which, generation, arranged, took_us })
                };
                if self.state.files.index.len() <= SORTED_INLINE_MAX {
                    let (_, event) = arrange();
                    next.extend(app::update(&mut self.state, event));
                } else {
                    self.work(move || arrange().1);
                }
            }
            Effect::Complete { typed } => self.work(move || {
                let paths = complete(&typed);
                Event::Completed { typed, paths }
            }),
            Effect::Weigh { room, text, paths } => self.work(move || {
                let found = weigh(&paths);
                Event::Weighed { room, text, found }
            }),
            Effect::Survey { folder, name } => self.work(move || Event::Surveyed(survey(folder, &name))),
            Effect::Copy { what, text } => {
                let way = self.copy(&text);
                next.extend(app::update(&mut self.state, Event::Copied { what, way }));
            }
            Effect::Open { path } => {
                let reports = self.reports.clone();
                self.tasks.spawn(async move {
                    if let Err(why) = open(&path).await {
                        // The screen is gone where this is not heard.
                        let _unheard = reports.send(Event::NotOpened { path, why }).await;
                    }
                });
            }
            Effect::Notify { ways, text } => {
                let backend = self.terminal.backend_mut();
                backend.write_all(&notice_bytes(ways, &text, self.in_tmux))?;
                self.frames.send()?;
            }
            Effect::Mouse(on) => self.guard.set_mouse(on)?,
            Effect::Suspend => self.suspend = true,
            Effect::Redraw => self.repaint()?,
            Effect::Quit(leaving) => self.end = Some(leaving),
        }
        Ok(())
    }

    fn work(&mut self, job: impl FnOnce() -> Event + Send + 'static) {
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            match tokio::task::spawn_blocking(job).await {
                // The screen is gone where this is not heard.
                Ok(event) => {
                    let _unheard = reports.send(event).await;
                }
                Err(error) => tracing::error!(%error, "a worker of the screen failed"),
            }
        });
    }

    /// Puts text on the clipboard through the terminal, which works over SSH too.
    fn copy(&mut self, text: &str) -> Result<&'static str, String> {
        if text.len() > CLIPBOARD_BYTES_MAX {
            return Err(format!("it is longer than {CLIPBOARD_BYTES_MAX} bytes"));
        }
        let sequence = format!("\x1b]52;c;{}\x1b\\", BASE64.encode(text.as_bytes()));
        let backend = self.terminal.backend_mut();
        backend.write_all(sequence.as_bytes()).map_err(|error| error.to_string())?;
        self.frames.send().map_err(|error| error.to_string())?;
        Ok("through the terminal (OSC 52)")
    }
}
