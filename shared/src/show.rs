//! The one function through which text from other people reaches a terminal, log or page. See UX.md 1.8.
