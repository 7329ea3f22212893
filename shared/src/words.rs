//! Key words: six words that two people read to each other, to make sure that nobody stands between their devices. Plain
//! calls.
//!
//! They come from both devices' keys and from a nonce of each side. Whoever opens commits to its nonce before it sees
//! the other one, and shows it after: so nobody, not even who makes the certificates, can look for keys or nonces that
//! give two people the same words. A guess is right once in 2^48 tries, and each try is a call that fails aloud.

use crate::id::DeviceId;

/// A nonce of one side.
pub type Nonce = [u8; 16];

/// What both sides see of a meeting, whichever of them they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meeting {
    /// The device that opened, and its nonce.
    pub opener: (DeviceId, Nonce),
    /// The device that was waiting, and its nonce.
    pub host: (DeviceId, Nonce),
}

impl Meeting {
    /// The words: those at odd places have two syllables and the others three, so that a lost or swapped one is heard.
    #[must_use]
    pub fn words(&self) -> [&'static str; KEY_WORDS] {
        let mut hasher = blake3::Hasher::new_derive_key("swapmeet key words 1");
        for (device, nonce) in [&self.opener, &self.host] {
            hasher.update(device.as_bytes()).update(nonce);
        }
        let hash = hasher.finalize();
        std::array::from_fn(|place| {
            let list = if place % 2 == 0 { &TWO_SYLLABLES } else { &THREE_SYLLABLES };
            list[usize::from(hash.as_bytes()[place])]
        })
    }
}

/// What is sent ahead of a nonce.
#[must_use]
pub fn commitment(nonce: &Nonce) -> [u8; 32] {
    *blake3::Hasher::new_derive_key("swapmeet key words commitment 1").update(nonce).finalize().as_bytes()
}

/// How many words there are: each is worth eight bits.
pub const KEY_WORDS: usize = 6;

// The PGP word list (Juola and Zimmermann, 1995): words that are hard to mishear for one another.

#[rustfmt::skip]
const TWO_SYLLABLES: [&str; 256] = [
    "aardvark", "absurd", "accrue", "acme", "adrift", "adult", "afflict", "ahead", "aimless", "algol", "allow", "alone",
    "ammo", "ancient", "apple", "artist", "assume", "athens", "atlas", "aztec", "baboon", "backfield", "backward", "banjo",
    "beaming", "bedlamp", "beehive", "beeswax", "befriend", "belfast", "berserk", "billiard", "bison", "blackjack",
    "blockade", "blowtorch", "bluebird", "bombast", "bookshelf", "brackish", "breadline", "breakup", "brickyard",
    "briefcase", "burbank", "button", "buzzard", "cement", "chairlift", "chatter", "checkup", "chisel", "choking",
    "chopper", "christmas", "clamshell", "classic", "classroom", "cleanup", "clockwork", "cobra", "commence", "concert",
    "cowbell", "crackdown", "cranky", "crowfoot", "crucial", "crumpled", "crusade", "cubic", "dashboard", "deadbolt",
    "deckhand", "dogsled", "dragnet", "drainage", "dreadful", "drifter", "dropper", "drumbeat", "drunken", "dupont",
    "dwelling", "eating", "edict", "egghead", "eightball", "endorse", "endow", "enlist", "erase", "escape", "exceed",
    "eyeglass", "eyetooth", "facial", "fallout", "flagpole", "flatfoot", "flytrap", "fracture", "framework", "freedom",
    "frighten", "gazelle", "geiger", "glitter", "glucose", "goggles", "goldfish", "gremlin", "guidance", "hamlet",
    "highchair", "hockey", "indoors", "indulge", "inverse", "involve", "island", "jawbone", "keyboard", "kickoff", "kiwi",
    "klaxon", "locale", "lockup", "merit", "minnow", "miser", "mohawk", "mural", "music", "necklace", "neptune", "newborn",
    "nightbird", "oakland", "obtuse", "offload", "optic", "orca", "payday", "peachy", "pheasant", "physique", "playhouse",
    "pluto", "preclude", "prefer", "preshrunk", "printer", "prowler", "pupil", "puppy", "python", "quadrant", "quiver",
    "quota", "ragtime", "ratchet", "rebirth", "reform", "regain", "reindeer", "rematch", "repay", "retouch", "revenge",
    "reward", "rhythm", "ribcage", "ringbolt", "robust", "rocker", "ruffled", "sailboat", "sawdust", "scallion", "scenic",
    "scorecard", "scotland", "seabird", "select", "sentence", "shadow", "shamrock", "showgirl", "skullcap", "skydive",
    "slingshot", "slowdown", "snapline", "snapshot", "snowcap", "snowslide", "solo", "southward", "soybean", "spaniel",
    "spearhead", "spellbind", "spheroid", "spigot", "spindle", "spyglass", "stagehand", "stagnate", "stairway", "standard",
    "stapler", "steamship", "sterling", "stockman", "stopwatch", "stormy", "sugar", "surmount", "suspense", "sweatband",
    "swelter", "tactics", "talon", "tapeworm", "tempest", "tiger", "tissue", "tonic", "topmost", "tracker", "transit",
    "trauma", "treadmill", "trojan", "trouble", "tumor", "tunnel", "tycoon", "uncut", "unearth", "unwind", "uproot",
    "upset", "upshot", "vapor", "village", "virus", "vulcan", "waffle", "wallet", "watchword", "wayside", "willow",
    "woodlark", "zulu",
];

#[rustfmt::skip]
const THREE_SYLLABLES: [&str; 256] = [
    "adroitness", "adviser", "aftermath", "aggregate", "alkali", "almighty", "amulet", "amusement", "antenna", "applicant",
    "apollo", "armistice", "article", "asteroid", "atlantic", "atmosphere", "autopsy", "babylon", "backwater", "barbecue",
    "belowground", "bifocals", "bodyguard", "bookseller", "borderline", "bottomless", "bradbury", "bravado", "brazilian",
    "breakaway", "burlington", "businessman", "butterfat", "camelot", "candidate", "cannonball", "capricorn", "caravan",
    "caretaker", "celebrate", "cellulose", "certify", "chambermaid", "cherokee", "chicago", "clergyman", "coherence",
    "combustion", "commando", "company", "component", "concurrent", "confidence", "conformist", "congregate", "consensus",
    "consulting", "corporate", "corrosion", "councilman", "crossover", "crucifix", "cumbersome", "customer", "dakota",
    "decadence", "december", "decimal", "designing", "detector", "detergent", "determine", "dictator", "dinosaur",
    "direction", "disable", "disbelief", "disruptive", "distortion", "document", "embezzle", "enchanting", "enrollment",
    "enterprise", "equation", "equipment", "escapade", "eskimo", "everyday", "examine", "existence", "exodus", "fascinate",
    "filament", "finicky", "forever", "fortitude", "frequency", "gadgetry", "galveston", "getaway", "glossary", "gossamer",
    "graduate", "gravity", "guitarist", "hamburger", "hamilton", "handiwork", "hazardous", "headwaters", "hemisphere",
    "hesitate", "hideaway", "holiness", "hurricane", "hydraulic", "impartial", "impetus", "inception", "indigo", "inertia",
    "infancy", "inferno", "informant", "insincere", "insurgent", "integrate", "intention", "inventive", "istanbul",
    "jamaica", "jupiter", "leprosy", "letterhead", "liberty", "maritime", "matchmaker", "maverick", "medusa", "megaton",
    "microscope", "microwave", "midsummer", "millionaire", "miracle", "misnomer", "molasses", "molecule", "montana",
    "monument", "mosquito", "narrative", "nebula", "newsletter", "norwegian", "october", "ohio", "onlooker", "opulent",
    "orlando", "outfielder", "pacific", "pandemic", "pandora", "paperweight", "paragon", "paragraph", "paramount",
    "passenger", "pedigree", "pegasus", "penetrate", "perceptive", "performance", "pharmacy", "phonetic", "photograph",
    "pioneer", "pocketful", "politeness", "positive", "potato", "processor", "provincial", "proximate", "puberty",
    "publisher", "pyramid", "quantity", "racketeer", "rebellion", "recipe", "recover", "repellent", "replica", "reproduce",
    "resistor", "responsive", "retraction", "retrieval", "retrospect", "revenue", "revival", "revolver", "sandalwood",
    "sardonic", "saturday", "savagery", "scavenger", "sensation", "sociable", "souvenir", "specialist", "speculate",
    "stethoscope", "stupendous", "supportive", "surrender", "suspicious", "sympathy", "tambourine", "telephone",
    "therapist", "tobacco", "tolerance", "tomorrow", "torpedo", "tradition", "travesty", "trombonist", "truncated",
    "typewriter", "ultimate", "undaunted", "underfoot", "unicorn", "unify", "universe", "unravel", "upcoming", "vacancy",
    "vagabond", "vertigo", "virginia", "visitor", "vocalist", "voyager", "warranty", "waterloo", "whimsical", "wichita",
    "wilmington", "wyoming", "yesteryear", "yucatan",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn meeting() -> Meeting {
        Meeting { opener: (DeviceId([1; 16]), [2; 16]), host: (DeviceId([3; 16]), [4; 16]) }
    }

    #[test]
    fn the_words_of_a_meeting_never_change() {
        assert_eq!(meeting().words().join(" "), "adult businessman lockup wilmington artist indigo");
    }

    #[test]
    fn every_key_and_nonce_is_in_the_words() {
        let one = meeting();
        let others = [
            Meeting { opener: (DeviceId([9; 16]), [2; 16]), ..one },
            Meeting { opener: (DeviceId([1; 16]), [9; 16]), ..one },
            Meeting { host: (DeviceId([9; 16]), [4; 16]), ..one },
            Meeting { host: (DeviceId([3; 16]), [9; 16]), ..one },
            Meeting { opener: one.host, host: one.opener },
        ];
        for other in others {
            assert_ne!(other.words(), one.words());
        }
    }

    #[test]
    fn no_word_is_there_twice() {
        let all: BTreeSet<&str> = TWO_SYLLABLES.into_iter().chain(THREE_SYLLABLES).collect();
        assert_eq!(all.len(), 512);
        assert!(all.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }

    #[test]
    fn a_commitment_fits_its_nonce_alone() {
        assert_ne!(commitment(&[1; 16]), commitment(&[2; 16]));
        assert_ne!(&commitment(&[1; 16])[..16], &[1; 16]);
    }
}
