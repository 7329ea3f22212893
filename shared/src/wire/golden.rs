//! Golden bytes: every message frozen. A changed line here is a changed protocol.
