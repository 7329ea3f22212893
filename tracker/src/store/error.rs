//! Why the tracker's memory did not do what it was asked.

/// Why a use case was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The name belongs to another account.
    #[error("the name is taken")]
    NameTaken,
    /// The name is easily mistaken for another account's.
    #[error("the name looks like that of the member {0:?}")]
    LooksLike(String),
    /// The invitation code is unknown, used up, revoked or too old.
    #[error("the invitation code is not valid")]
    BadInvite,
    /// There are as many invitations as there may be.
    #[error("there are {0} invitations, which is the most; revoke some first")]
    TooManyInvites(usize),
    /// The password was changed by somebody else meanwhile.
    #[error("the password has just been changed; sign in with the new one")]
    PasswordMoved,
    /// The account holds as many devices as it may.
    #[error("the account has {0} devices, which is the most; sign one out first")]
    TooManyDevices(usize),
    /// The calling device is no longer enrolled.
    #[error("the device is signed out")]
    SignedOut,
    /// No member has this name.
    #[error("there is no member {0:?}")]
    UnknownMember(String),
    /// Another device of the same account shares other content under this path.
    #[error("{0:?} is shared by another of your devices with other content")]
    OtherDevice(String),
    /// The account would have more files than it may.
    #[error("an account can share {0} files")]
    TooManyFiles(u64),
    /// There is no such item, or none for this member.
    #[error("there is no such request or offer")]
    UnknownItem,
    /// There is no such file, or none for this member.
    #[error("there is no such file")]
    UnknownFile,
    /// What was to be done about an item is not possible as it stands.
    #[error("{0}")]
    NotNow(String),
    /// It is not for this member to do that.
    #[error("{0}")]
    NotYours(&'static str),
    /// A member begins more than others should have to bear.
    #[error("{what}; try again in {seconds} s")]
    TooFast {
        /// What.
        what: &'static str,
        /// When it is worth trying again.
        seconds: u64,
    },
    /// More than there may be.
    #[error("{what}: at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: u64,
    },
    /// The member has blocked as many as it may.
    #[error("a member can block {0} others; unblock some first")]
    TooManyBlocks(usize),
    /// More copies wait than the tracker takes on.
    #[error("{0} copies wait already")]
    TooManyCopies(usize),
    /// The id of a message belongs to another one.
    #[error("there is another message with this id")]
    MessageTaken,
    /// No device of the receiver can open anything.
    #[error("the receiver is signed in on no device that could read it")]
    NoDevice,
    /// As many messages of this member wait for others as may.
    #[error("{0} of your messages wait for others already, which is the most")]
    TooManyMessages(u64),
    /// The transaction that a message went into failed.
    #[error("the message could not be written down")]
    NotWritten,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database could not be brought to this version.
    #[error("the database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database holds what this program never writes.
    #[error("the database holds an invalid {0}")]
    Corrupt(&'static str),
}
