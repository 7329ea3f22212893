//! Whether somebody is at the keyboard: a screen says so for as long as it holds a call. A headless engine has nobody.

use std::sync::Arc;

use tokio::sync::watch;

/// Who is at the keyboard.
#[derive(Debug, Default)]
pub struct Attention {
    screens: watch::Sender<usize>,
}

/// Somebody at a screen, until dropped.
#[derive(Debug)]
pub struct Attending(Arc<Attention>);

impl Attention {
    /// Somebody is at a screen from now on.
    pub fn begin(self: &Arc<Self>) -> Attending {
        self.screens.send_modify(|screens| *screens += 1);
        Attending(self.clone())
    }

    /// Whether somebody is at any screen.
    pub fn is_here(&self) -> bool {
        *self.screens.borrow() > 0
    }

    /// Waits until it is so, or not so.
    pub async fn until(&self, here: bool) {
        let mut screens = self.screens.subscribe();
        // The sender lives as long as `self`.
        let _gone = screens.wait_for(|screens| (*screens > 0) == here).await;
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.0.screens.send_modify(|screens| *screens -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_here_while_one_screen_says_so() {
        let attention = Arc::new(Attention::default());
        assert!(!attention.is_here());
        let (one, other) = (attention.begin(), attention.begin());
        drop(one);
        assert!(attention.is_here());
        drop(other);
        assert!(!attention.is_here());
    }
}
