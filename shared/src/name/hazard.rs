//! Which received names deserve a warning before they surprise. Plain data for dialogs; nothing is refused here.

use crate::show::has_hidden;

/// Why a received file should be held, or shown with a warning, before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hazard {
    /// Invisible or direction-changing characters: what is read is not what is stored.
    HiddenCharacters,
    /// A program that looks like a document: `photo.jpg.exe`.
    DisguisedProgram,
    /// A file or folder that listings hide and programs read by themselves: `.bashrc`, `.ssh/authorized_keys`.
    HiddenFile,
    /// A program or script that a double click may run.
    Program,
}

impl Hazard {
    /// A short text for a list or dialog.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::HiddenCharacters => "hidden characters",
            Self::DisguisedProgram => "program that looks like a document",
            Self::HiddenFile => "hidden file",
            Self::Program => "program",
        }
    }
}

/// The gravest reason to be careful with a received name or path, if there is one.
#[must_use]
pub fn hazard(path: &str) -> Option<Hazard> {
    if has_hidden(path) {
        return Some(Hazard::HiddenCharacters);
    }
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    // Windows drops dots and spaces at the end, so `a.exe. ` runs as well.
    let mut parts = name.trim_end_matches(['.', ' ']).rsplit('.');
    let runs = parts.next().filter(|_| name.contains('.')).is_some_and(|last| listed(&PROGRAMS, last));
    if runs && parts.next().is_some_and(|before| listed(&DOCUMENTS, before.trim_end())) {
        return Some(Hazard::DisguisedProgram);
    }
    if path.split(['/', '\\']).any(|part| part.starts_with('.')) {
        return Some(Hazard::HiddenFile);
    }
    runs.then_some(Hazard::Program)
}

fn listed(extensions: &[&str], extension: &str) -> bool {
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Extensions that desktops run, install or load settings from.
const PROGRAMS: [&str; 49] = [
    "apk", "app", "appimage", "bash", "bat", "chm", "cmd", "com", "command", "cpl", "deb", "desktop", "dll", "dmg",
    "exe", "fish", "gadget", "hta", "inf", "jar", "js", "jse", "ksh", "lnk", "msc", "msi", "msp", "pif", "pkg", "pl",
    "ps1", "psm1", "py", "pyw", "rb", "reg", "rpm", "run", "scf", "scr", "sh", "terminal", "url", "vb", "vbe", "vbs",
    "workflow", "wsf", "zsh",
];

/// Extensions that people open without a thought.
const DOCUMENTS: [&str; 36] = [
    "7z", "avi", "bmp", "csv", "doc", "docx", "epub", "flac", "gif", "gz", "heic", "htm", "html", "jpeg", "jpg", "md",
    "mkv", "mov", "mp3", "mp4", "odt", "ogg", "pdf", "png", "ppt", "pptx", "rar", "rtf", "svg", "txt", "wav", "webm",
    "webp", "xls", "xlsx", "zip",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_surprise_are_told_and_others_are_not() {
        for (path, expected) in [
            ("holiday.jpg", None),
            ("src/main.rs", None),
            ("exe", None),
            ("ubuntu-26.04-desktop-amd64.iso", None),
            ("a/com/b.txt", None),
            ("photo\u{202e}gpj.exe", Some(Hazard::HiddenCharacters)),
            ("a\u{200b}b.txt", Some(Hazard::HiddenCharacters)),
            ("pile\u{301}\u{301}\u{301}\u{301}\u{301}.txt", Some(Hazard::HiddenCharacters)),
            ("photo.jpg.exe", Some(Hazard::DisguisedProgram)),
            ("Invoice.PDF .scr", Some(Hazard::DisguisedProgram)),
            ("invoice.pdf.exe. ", Some(Hazard::DisguisedProgram)),
            (".ssh/cat.png.sh", Some(Hazard::DisguisedProgram)),
            (".bashrc", Some(Hazard::HiddenFile)),
            (".ssh/authorized_keys", Some(Hazard::HiddenFile)),
            ("a/.config/autostart/x.desktop", Some(Hazard::HiddenFile)),
            ("setup.EXE", Some(Hazard::Program)),
            ("tool/install.sh", Some(Hazard::Program)),
        ] {
            assert_eq!(hazard(path), expected, "{path:?}");
        }
    }

    #[test]
    fn the_lists_are_sorted_so_that_a_double_is_seen() {
        assert!(PROGRAMS.is_sorted() && DOCUMENTS.is_sorted());
    }
}
