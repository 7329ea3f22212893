//! What goes to stdout: records, as an aligned table on a terminal, tab-separated in a pipe, or JSON lines.
//!
//! Owns the only way in which a command prints data. A closed pipe comes back as an error that ends the command quietly.

use std::{
    env,
    io::{self, BufWriter, IsTerminal, Write},
};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{
    Globals,
    talk::{Outcome, use_color},
};

/// Something that is printed, in any of the forms.
pub(super) trait Record: Serialize {
    /// The `type` of its JSON object.
    fn kind(&self) -> &'static str;
    /// What its columns are called and how they behave; the same for every record of a type.
    fn columns() -> &'static [Column];
    /// One for each column.
    fn cells(&self) -> Vec<Cell>;
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
    shrinks: bool,
    in_tables: bool,
    optional: bool,
}

impl Column {
    /// Ordinary text.
    pub(super) const fn text(title: &'static str) -> Self {
        Self { title, right: false, shrinks: false, in_tables: true, optional: false }
    }

    /// A number, aligned to the right.
    pub(super) const fn number(title: &'static str) -> Self {
        Self { right: true, ..Self::text(title) }
    }

    /// Text that is cut in its middle where the terminal is narrow.
    pub(super) const fn name(title: &'static str) -> Self {
        Self { shrinks: true, ..Self::text(title) }
    }

    /// Only in pipes; on a terminal nobody reads it in a table.
    pub(super) const fn hidden(title: &'static str) -> Self {
        Self { in_tables: false, ..Self::text(title) }
    }

    /// Left out where the terminal is narrow.
    pub(super) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// A value of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// Unknown.
    Empty,
    /// Text from anywhere.
    Text(String),
    /// An identifier: people see its first characters, programs all of it.
    Id(String),
    Bytes(u64),
    Count(u64),
    Flag(bool),
    Time(Moment),
    /// A span of time in milliseconds.
    Elapsed(u64),
}

/// A moment, milliseconds since 1970; printed as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    fn rfc3339(self) -> Option<String> {
        Timestamp::from_millisecond(self.0).ok().map(|time| format!("{time:.3}"))
    }

    fn local(self) -> String {
        Timestamp::from_millisecond(self.0)
            .map(|time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string())
            .unwrap_or_default()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rfc3339().serialize(serializer)
    }
}

impl From<Option<Moment>> for Cell {
    fn from(moment: Option<Moment>) -> Self {
        moment.map_or(Self::Empty, Self::Time)
    }
}

impl From<Option<u64>> for Cell {
    fn from(count: Option<u64>) -> Self {
        count.map_or(Self::Empty, Self::Count)
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Empty, Self::Text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Cell {
    /// For programs that read columns.
    fn plain(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) | Self::Id(text) => clean(text),
            Self::Bytes(number) | Self::Count(number) | Self::Elapsed(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Time(moment) => moment.rfc3339().unwrap_or_default(),
        }
    }

    /// For people.
    fn pretty(&self) -> String {
        match self {
            Self::Empty => "-".to_owned(),
            Self::Text(text) => clean(text),
            Self::Id(text) => clean(text).chars().take(ID_SHOWN).collect(),
            Self::Bytes(bytes) => human_bytes(*bytes),
            Self::Count(number) => number.to_string(),
            Self::Flag(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
            Self::Time(moment) => moment.local(),
            Self::Elapsed(ms) => human_ms(*ms),
        }
    }
}

/// Where records go and in which form.
pub(super) struct Out {
    sink: Box<dyn Write + Send>,
    form: Form,
    ascii: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Terminal { width: usize, color: bool },
    Columns,
    Json,
}

impl Out {
    /// Records on stdout.
    pub(super) fn stdout(globals: &Globals) -> Self {
        let stdout = io::stdout();
        let form = Form::choose(globals, stdout.is_terminal(), width_of(&stdout));
        Self { sink: Box::new(BufWriter::new(stdout)), form, ascii: globals.ascii }
    }

    /// Records on stderr, for a command whose stdout is the bytes themselves.
    pub(super) fn stderr(globals: &Globals) -> Self {
        let stderr = io::stderr();
        let form = Form::choose(globals, stderr.is_terminal(), width_of(&stderr));
        Self { sink: Box::new(stderr), form, ascii: globals.ascii }
    }

    /// Prints one record: as a card of its own on a terminal.
    pub(super) fn card<R: Record>(&mut self, record: &R) -> Outcome {
        match self.form {
            Form::Terminal { color, .. } => {
                let title_width = R::columns().iter().map(|column| column.title.len()).max().unwrap_or(0);
                for (column, cell) in R::columns().iter().zip(record.cells()) {
                    if cell == Cell::Empty {
                        continue;
                    }
                    let text = if let Cell::Id(id) = &cell { clean(id) } else { cell.pretty() };
                    let title = bold(&format!("{:title_width$}", column.title.to_lowercase()), color);
                    writeln!(self.sink, "{title}  {text}")?;
                }
            }
            Form::Columns | Form::Json => self.now(record)?,
        }
        Ok(self.sink.flush()?)
    }

    /// Prints one record of a stream at once: one line in every form.
    pub(super) fn line<R: Record>(&mut self, record: &R) -> Outcome {
        match self.form {
            Form::Terminal { .. } => {
                let shown = R::columns().iter().zip(record.cells()).filter(|(column, _)| column.in_tables);
                let texts: Vec<String> =
                    shown.filter(|(_, cell)| *cell != Cell::Empty).map(|(_, cell)| cell.pretty()).collect();
                writeln!(self.sink, "{}", texts.join("  "))?;
            }
            Form::Columns | Form::Json => self.now(record)?,
        }
        Ok(self.sink.flush()?)
    }

    /// Begins a table.
    pub(super) fn table<R: Record>(&mut self) -> Table<'_> {
        Table { out: self, columns: R::columns(), waiting: Vec::new(), layout: None }
    }

    /// Prints raw bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        Ok(self.sink.write_all(bytes)?)
    }

    /// Hands everything over to the reader.
    pub(super) fn flush(&mut self) -> Outcome {
        Ok(self.sink.flush()?)
    }

    /// Whether programs read this as JSON.
    pub(super) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Whether people read this as it comes.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self.form, Form::Terminal { .. })
    }

    fn now<R: Record>(&mut self, record: &R) -> io::Result<()> {
        if self.form == Form::Json {
            return writeln!(self.sink, "{}", json_line(record.kind(), record));
        }
        let texts: Vec<String> = record.cells().iter().map(Cell::plain).collect();
        writeln!(self.sink, "{}", texts.join("\t"))
    }

    #[cfg(test)]
    fn into_sink(form: Form, sink: impl Write + Send + 'static) -> Self {
        Self { sink: Box::new(sink), form, ascii: false }
    }
}

impl Form {
    fn choose(globals: &Globals, terminal: bool, width: usize) -> Self {
        if globals.json {
            Self::Json
        } else if terminal {
            Self::Terminal { width, color: use_color(globals.color, true) }
        } else {
            Self::Columns
        }
    }
}

/// A list of records. On a terminal the first page decides the widths, so that any number of rows needs little memory.
pub(super) struct Table<'a> {
    out: &'a mut Out,
    columns: &'static [Column],
    waiting: Vec<Vec<String>>,
    layout: Option<Vec<usize>>,
}

impl Table<'_> {
    /// Adds a record of the type that the table was begun for.
    pub(super) fn push<R: Record>(&mut self, record: &R) -> Outcome {
        let Form::Terminal { .. } = self.out.form else { return Ok(self.out.now(record)?) };
        self.waiting.push(record.cells().iter().map(Cell::pretty).collect());
        if self.waiting.len() >= PAGE_ROWS {
            self.print_waiting()?;
        }
        Ok(())
    }

    /// Prints what is left.
    pub(super) fn finish(mut self) -> Outcome {
        self.print_waiting()?;
        self.out.flush()
    }

    fn print_waiting(&mut self) -> Outcome {
        let Form::Terminal { width, color } = self.out.form else { return Ok(()) };
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        if self.layout.is_none() {
            let widths = lay_out(self.columns, &rows, width);
            let titles: Vec<String> = self.columns.iter().map(|column| column.title.to_owned()).collect();
            let header = self.row(&titles, &widths);
            writeln!(self.out.sink, "{}", bold(&header, color))?;
            self.layout = Some(widths);
        }
        let widths = self.layout.clone().unwrap_or_default();
        for row in rows {
            let line = self.row(&row, &widths);
            writeln!(self.out.sink, "{line}")?;
        }
        Ok(())
    }

    /// One line. A width of 0 leaves a column out.
    fn row(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), column) in cells.iter().zip(widths).zip(self.columns) {
            if *width == 0 {
                continue;
            }
            let text = cut_middle(cell, *width, self.out.ascii);
            let space = " ".repeat(width.saturating_sub(text.width()));
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let (before, after) = if column.right { (space.as_str(), "") } else { ("", space.as_str()) };
            line.push_str(before);
            line.push_str(&text);
            line.push_str(after);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The width of each column; 0 leaves it out. Optional columns go first, then names are cut.
fn lay_out(columns: &[Column], rows: &[Vec<String>], terminal_width: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let widest = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width()).max().unwrap_or(0);
            if column.in_tables { widest.max(column.title.width()) } else { 0 }
        })
        .collect();
    let total = |widths: &[usize]| {
        let shown = widths.iter().filter(|width| **width > 0).count();
        widths.iter().sum::<usize>() + GAP.len() * shown.saturating_sub(1)
    };
    let smallest = |widths: &[usize]| {
        let shrunk: Vec<usize> = widths
            .iter()
            .zip(columns)
            .map(|(width, column)| if column.shrinks { (*width).min(NAME_WIDTH_COMFORTABLE) } else { *width })
            .collect();
        total(&shrunk)
    };
    for index in (0..columns.len()).rev() {
        if smallest(&widths) > terminal_width && columns[index].optional {
            widths[index] = 0;
        }
    }
    while total(&widths) > terminal_width {
        let widest = (0..columns.len()).filter(|index| columns[*index].shrinks).max_by_key(|index| widths[*index]);
        let Some(widest) = widest.filter(|index| widths[*index] > NAME_WIDTH_MIN) else { break };
        widths[widest] -= 1;
    }
    widths
}

/// Shortens text to a width by leaving out its middle, so that an ending like `.iso` stays.
fn cut_middle(text: &str, width: usize, ascii: bool) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if ascii { "~" } else { "…" };
    let room = width.saturating_sub(1);
    let tail_room = room * 2 / 5;
    let graphemes: Vec<&str> = text.graphemes(true).collect();
    let mut tail_start = graphemes.len();
    let mut used = 0;
    while tail_start > 0 && used + graphemes[tail_start - 1].width() <= tail_room {
        tail_start -= 1;
        used += graphemes[tail_start].width();
    }
    let mut head_end = 0;
    while head_end < tail_start && used + graphemes[head_end].width() <= room {
        used += graphemes[head_end].width();
        head_end += 1;
    }
    format!("{}{mark}{}", graphemes[..head_end].concat(), graphemes[tail_start..].concat())
}

fn bold(text: &str, color: bool) -> String {
    if color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// Columns of the terminal behind a stream.
fn width_of(stream: &impl rustix::fd::AsFd) -> usize {
    let from_terminal = rustix::termios::tcgetwinsize(stream).ok().map(|size| usize::from(size.ws_col));
    let from_environment = || env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    from_terminal.filter(|columns| *columns > 0).or_else(from_environment).unwrap_or(80)
}

/// Makes text from anyone safe for a terminal, in one line, whole: who reads columns needs all of it.
pub(super) fn clean(text: &str) -> String {
    shared::show::show_line(text, usize::MAX)
}

/// Bytes as people read them: three significant digits and a binary unit.
pub(super) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

fn human_ms(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{:.1}s", ms as f64 / 1000.0),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A record as one line of JSON, `"v"` and `"type"` first.
pub(super) fn json_line<R: Serialize + ?Sized>(kind: &str, record: &R) -> String {
    #[derive(Serialize)]
    struct Line<'a, R: Serialize + ?Sized> {
        v: u8,
        r#type: &'a str,
        #[serde(flatten)]
        record: &'a R,
    }
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Inert);
    Line { v: 1, r#type: kind, record }
        .serialize(&mut serializer)
        .expect("records are plain structs, and a vector takes every byte");
    String::from_utf8(line).expect("JSON is UTF-8")
}

/// Writes characters that steer a terminal or reorder text as escapes: the same JSON value, but inert where it is shown.
struct Inert;

impl Formatter for Inert {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut start = 0;
        for (at, character) in fragment.char_indices().filter(|(_, character)| shared::show::is_hidden(*character)) {
            writer.write_all(&fragment.as_bytes()[start..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            start = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[start..])
    }
}

/// Characters of an id that people see: enough to be unique in a group's index.
const ID_SHOWN: usize = 8;
/// Between two columns.
const GAP: &str = "  ";
/// Rows whose widths decide those of the table.
const PAGE_ROWS: usize = 500;
/// Width of a name below which optional columns are left out first.
const NAME_WIDTH_COMFORTABLE: usize = 24;
/// Width below which a name says nothing.
const NAME_WIDTH_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cli::talk::Ended;

    #[derive(Debug, Serialize)]
    struct Sample {
        id: String,
        name: String,
        size: u64,
        seen: Option<Moment>,
    }

    impl Record for Sample {
        fn kind(&self) -> &'static str {
            "sample"
        }

        fn columns() -> &'static [Column] {
            const COLUMNS: &[Column] =
                &[Column::text("ID"), Column::name("NAME"), Column::number("SIZE"), Column::text("SEEN").optional()];
            COLUMNS
        }

        fn cells(&self) -> Vec<Cell> {
            vec![Cell::Id(self.id.clone()), self.name.as_str().into(), Cell::Bytes(self.size), self.seen.into()]
        }
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sample(name: &str) -> Sample {
        Sample { id: "0123456789abcdef".to_owned(), name: name.to_owned(), size: 6_227_702_579, seen: None }
    }

    fn printed(form: Form, records: &[Sample]) -> String {
        let page = Page::default();
        let mut out = Out::into_sink(form, page.clone());
        let mut table = out.table::<Sample>();
        for record in records {
            table.push(record).unwrap();
        }
        table.finish().unwrap();
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_terminal_gets_an_aligned_table() {
        let text = printed(Form::Terminal { width: 80, color: false }, &[sample("a.iso"), sample("longer.iso")]);
        assert_eq!(
            text,
            "ID        NAME            SIZE  SEEN\n\
             01234567  a.iso       5.80 GiB  -\n\
             01234567  longer.iso  5.80 GiB  -\n"
        );
    }

    #[test]
    fn a_narrow_terminal_loses_optional_columns_then_the_middle_of_names() {
        let name = "a-very-long-name-of-a-file-cut-in-its-middle.iso";
        let text = printed(Form::Terminal { width: 40, color: false }, &[sample(name)]);
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
        assert!(!text.contains("SEEN"), "{text}");
        assert!(text.contains("….iso") || text.contains("e.iso"), "{text}");
    }

    #[test]
    fn a_pipe_gets_whole_values_between_tabs_and_no_header() {
        assert_eq!(printed(Form::Columns, &[sample("a b.iso")]), "0123456789abcdef\ta b.iso\t6227702579\t\n");
    }

    #[test]
    fn a_hostile_name_stays_one_field_of_one_line() {
        let text = printed(Form::Columns, &[sample("a\tb\nc\x1b[2J\u{202e}gpj.exe")]);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(text.matches('\t').count(), 3, "{text}");
        assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{text:?}");
    }

    #[test]
    fn json_begins_with_version_and_type_and_knows_null() {
        let record = Sample { seen: Some(Moment(1_700_000_000_000)), ..sample("a") };
        assert_eq!(
            printed(Form::Json, &[record, sample("b")]),
            "{\"v\":1,\"type\":\"sample\",\"id\":\"0123456789abcdef\",\"name\":\"a\",\"size\":6227702579,\
             \"seen\":\"2023-11-14T22:13:20.000Z\"}\n\
             {\"v\":1,\"type\":\"sample\",\"id\":\"0123456789abcdef\",\"name\":\"b\",\"size\":6227702579,\"seen\":null}\n"
        );
    }

    #[test]
    fn json_keeps_a_hostile_name_exactly_without_letting_it_act() {
        let name = "a\n\x1b[2J\u{9b}2J\u{202e}\u{e0041}é日";
        let text = printed(Form::Json, &[sample(name)]);
        assert!(!text.trim_end().chars().any(|c| c.is_control() || shared::show::is_hidden(c)), "{text:?}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["name"], name);
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_output_quietly() {
        let mut out = Out::into_sink(Form::Json, Closed);
        assert!(matches!(out.line(&sample("a")), Err(Ended::ClosedPipe)));
    }

    #[test]
    fn a_table_of_many_rows_has_one_header() {
        let rows: Vec<Sample> = (0..PAGE_ROWS + 10).map(|_| sample("a")).collect();
        let text = printed(Form::Terminal { width: 80, color: false }, &rows);
        assert_eq!(text.lines().count(), rows.len() + 1);
        assert_eq!(text.matches("SIZE").count(), 1);
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_048_575, "1.00 MiB"),
            (15 << 20, "15.0 MiB"),
            (912 << 20, "912 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn wide_characters_are_cut_between_graphemes() {
        let cut = cut_middle("日本語のファイル名.flac", 12, false);
        assert!(cut.width() <= 12 && cut.ends_with("flac"), "{cut}");
    }
}
