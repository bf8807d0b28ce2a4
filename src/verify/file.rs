//! Records from a file or a pipe, whatever its form: an archive, plain or compressed, or objects as `prices --output json`
//! prints them, in a list or one after the other. What it is, its first bytes tell. One record is in memory at a time.

use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use quorate_protocol::history::Fault;

use crate::archive::format::{HEADER, Header, LastLine, TRAILER, Trailer, VERSION};

/// A record has 2 KB with three signatures, and 30 with 128.
const LONGEST: usize = 1 << 20;

const BUFFER_BYTES: usize = 1 << 16;

/// What stands in the file next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An archive begins.
    Header(Header),
    /// A record, whose text was appended to the buffer.
    Record,
    /// An archive ends.
    Trailer(Trailer),
}

/// A file that is being read.
pub(crate) struct RecordFile<'a> {
    input: Box<dyn BufRead + Send + 'a>,
    form: Form,
}

/// How the records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A line each. With the number of records since the first line; `None` between two archives.
    Archive(Option<u64>),
    /// JSON objects with nothing but white space between.
    Objects,
    /// The same in brackets, with commas.
    List { closed: bool },
}

impl<'a> RecordFile<'a> {
    /// Looks at the first bytes.
    pub(crate) fn open(input: impl Read + Send + 'a) -> Result<Self, Fault> {
        let mut input: Box<dyn BufRead + Send + 'a> = Box::new(BufReader::with_capacity(BUFFER_BYTES, input));
        if begins_with(&mut input, &[0x1f, 0x8b])? {
            let inflated = MultiGzDecoder::new(input);
            input = Box::new(BufReader::with_capacity(BUFFER_BYTES, inflated));
        }
        let form = if begins_with(&mut input, HEADER)? {
            Form::Archive(None)
        } else if begins_with(&mut input, b"[")? {
            Form::List { closed: false }
        } else {
            Form::Objects
        };
        Ok(Self { input, form })
    }

    /// The next piece, `None` at the end. A record's text is appended to `text`. After an error nothing more can be read.
    pub(crate) fn next(&mut self, text: &mut Vec<u8>) -> Result<Option<Piece>, Fault> {
        match self.form {
            Form::Archive(records) => self.next_line(records, text),
            Form::Objects | Form::List { .. } => self.next_object(text),
        }
    }

    fn next_line(&mut self, records: Option<u64>, text: &mut Vec<u8>) -> Result<Option<Piece>, Fault> {
        let start = text.len();
        let longest = LONGEST as u64;
        self.input
            .by_ref()
            .take(longest)
            .read_until(b'\n', text)
            .map_err(ended)?;
        let line = &text[start..];
        let Some(records) = records else {
            if line.is_empty() {
                return Ok(None);
            }
            let header: Header = parse(line, "the first line")?;
            text.truncate(start);
            if header.quorate_archive != VERSION {
                let version = header.quorate_archive;
                return Err(Fault::Unreadable(format!(
                    "the archive has version {version}, this program reads {VERSION}"
                )));
            }
            self.form = Form::Archive(Some(0));
            return Ok(Some(Piece::Header(header)));
        };
        if line.is_empty() {
            return Err(Fault::Truncated(format!(
                "after {records} records, without the last line that counts them"
            )));
        }
        if !line.ends_with(b"\n") {
            return Err(too_long_or_cut(line, records));
        }
        if !line.starts_with(TRAILER) {
            self.form = Form::Archive(Some(records + 1));
            return Ok(Some(Piece::Record));
        }
        let LastLine { end } = parse(line, "the last line")?;
        text.truncate(start);
        if end.records != records {
            let said = end.records;
            return Err(Fault::Truncated(format!(
                "its last line counts {said} records, there are {records}"
            )));
        }
        self.form = Form::Archive(None);
        Ok(Some(Piece::Trailer(end)))
    }

    fn next_object(&mut self, text: &mut Vec<u8>) -> Result<Option<Piece>, Fault> {
        let start = text.len();
        let mut object = Object::default();
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(ended(error)),
            };
            if bytes.is_empty() {
                return match self.form {
                    _ if object.depth > 0 => Err(Fault::Truncated("in the middle of a record".to_owned())),
                    Form::List { closed: false } => {
                        Err(Fault::Truncated("the list is not closed".to_owned()))
                    }
                    _ => Ok(None),
                };
            }
            let mut taken = 0;
            let mut is_whole = false;
            for &byte in bytes {
                taken += 1;
                if object.depth == 0 && byte != b'{' {
                    self.form = between(self.form, byte)?;
                    continue;
                }
                text.push(byte);
                if object.ends_with(byte) {
                    is_whole = true;
                    break;
                }
            }
            self.input.consume(taken);
            if is_whole {
                return Ok(Some(Piece::Record));
            }
            if text.len() - start > LONGEST {
                return Err(Fault::Unreadable(format!(
                    "a record of more than {LONGEST} bytes"
                )));
            }
        }
    }
}

/// How deep in braces the text is, and whether in a string.
#[derive(Default)]
struct Object {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Object {
    fn ends_with(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
        } else if self.in_string {
            self.escaped = byte == b'\\';
            self.in_string = byte != b'"';
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' => self.depth += 1,
                b'}' => self.depth -= 1,
                _ => {}
            }
        }
        self.depth == 0
    }
}

/// What may stand between two objects.
fn between(form: Form, byte: u8) -> Result<Form, Fault> {
    match (byte, form) {
        (b' ' | b'\t' | b'\r' | b'\n', form) => Ok(form),
        (b'[' | b',', Form::List { closed: false }) => Ok(form),
        (b']', Form::List { closed: false }) => Ok(Form::List { closed: true }),
        _ => {
            let shown = char::from(byte).escape_default();
            Err(Fault::Unreadable(format!(
                "'{shown}' stands where a JSON object should begin: no file of records"
            )))
        }
    }
}

/// Without taking them.
fn begins_with(input: &mut Box<dyn BufRead + Send + '_>, expected: &[u8]) -> Result<bool, Fault> {
    let mut first = Vec::new();
    input
        .by_ref()
        .take(expected.len() as u64)
        .read_to_end(&mut first)
        .map_err(ended)?;
    let does = first == expected;
    let rest = std::mem::replace(input, Box::new(io::empty()));
    *input = Box::new(Cursor::new(first).chain(rest));
    Ok(does)
}

fn parse<'t, T: serde::Deserialize<'t>>(line: &'t [u8], what: &str) -> Result<T, Fault> {
    serde_json::from_slice(line).map_err(|error| Fault::Unreadable(format!("{what}: {error}")))
}

fn too_long_or_cut(line: &[u8], records: u64) -> Fault {
    if line.len() >= LONGEST {
        Fault::Unreadable(format!("a line of more than {LONGEST} bytes"))
    } else {
        Fault::Truncated(format!("in the middle of a line, after {records} records"))
    }
}

/// Why nothing more comes.
fn ended(error: io::Error) -> Fault {
    match error.kind() {
        ErrorKind::UnexpectedEof => Fault::Truncated("the compressed data stop in the middle".to_owned()),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            Fault::Unreadable(format!("the compressed data are damaged ({error})"))
        }
        _ => Fault::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use quorate_testkit::history::history;

    use super::*;
    use crate::{archive::format::Writer, record_json::RecordJson};

    fn archive(count: usize) -> Vec<u8> {
        let header = Header {
            quorate_archive: VERSION,
            network: Some("test".to_owned()),
            write_interval_ms: 30_000,
            min_signatures: 3,
            quorum_fraction: None,
            members: vec![],
        };
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        for record in history(count) {
            writer.write(&record).unwrap();
        }
        writer.finish().unwrap().0
    }

    fn plain(count: usize) -> Vec<u8> {
        let mut text = Vec::new();
        MultiGzDecoder::new(&archive(count)[..])
            .read_to_end(&mut text)
            .unwrap();
        text
    }

    fn compressed(text: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    /// How many records are in it, and why no more.
    fn read(bytes: &[u8]) -> (usize, Option<Fault>) {
        let mut records = 0;
        let mut read_all = || -> Result<(), Fault> {
            let mut file = RecordFile::open(bytes)?;
            let mut text = Vec::new();
            while let Some(piece) = file.next(&mut text)? {
                if piece == Piece::Record {
                    crate::record_json::read(&text).map_err(Fault::Unreadable)?;
                    records += 1;
                }
                text.clear();
            }
            Ok(())
        };
        let fault = read_all().err();
        (records, fault)
    }

    fn truncated(bytes: &[u8], words: &str) {
        match read(bytes) {
            (_, Some(Fault::Truncated(reason))) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_is_known_by_its_content() {
        let objects: Vec<String> = history(3)
            .iter()
            .map(|record| serde_json::to_string_pretty(&RecordJson::from(record)).unwrap())
            .collect();
        let list = format!("[{}]\n", objects.join(",\n"));
        let one_line = list.replace('\n', "");
        for bytes in [
            archive(3),
            plain(3),
            [archive(1), archive(2)].concat(),
            [plain(1), plain(2)].concat(),
            objects.join("\n").into_bytes(),
            list.clone().into_bytes(),
            one_line.into_bytes(),
            compressed(list.as_bytes()),
        ] {
            assert_eq!(read(&bytes), (3, None));
        }
        for nothing in ["", "\n", "[]", "[ ]\n"] {
            assert_eq!(read(nothing.as_bytes()), (0, None), "{nothing:?}");
        }
    }

    #[test]
    fn a_file_that_lacks_its_end_is_truncated() {
        let (archive, plain) = (archive(3), plain(3));
        truncated(&archive[..archive.len() - 1], "the compressed data stop");
        truncated(&archive[..archive.len() / 2], "the compressed data stop");
        truncated(
            &plain[..plain.len() - 1],
            "in the middle of a line, after 3 records",
        );
        let lines: Vec<&[u8]> = plain.split_inclusive(|byte| *byte == b'\n').collect();
        truncated(
            &compressed(&lines[..4].concat()),
            "after 3 records, without the last line",
        );
        let without_one = [lines[0], lines[1], lines[3], lines[4]].concat();
        truncated(
            &compressed(&without_one),
            "its last line counts 3 records, there are 2",
        );
        truncated(b"[", "the list is not closed");
        truncated(b"[{\"feed\": \"ETH/USD\"", "in the middle of a record");
    }

    #[test]
    fn what_is_no_file_of_records_is_told() {
        for (bytes, words) in [
            (&b"price,feed\n"[..], "'p' stands where a JSON object should begin"),
            (b"[{}]", "missing field"),
            (b"[] 7", "'7' stands"),
            (b"{\"quorate_archive\":2,\"network\":\"x\",\"write_interval_ms\":1,\"min_signatures\":3,\"members\":[]}\n", "version 2"),
            (b"{\"quorate_archive\":\"x\"}\n", "the first line"),
            (b"\x1f\x8bnonsense", "damaged"),
        ] {
            let fault = read(bytes).1.unwrap().to_string();
            assert!(fault.contains(words), "{fault}");
        }
        let endless = [b"{\"a\":\"".to_vec(), vec![b'x'; LONGEST + BUFFER_BYTES]].concat();
        assert!(
            read(&endless)
                .1
                .unwrap()
                .to_string()
                .contains("a record of more than")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_is_read_twice(bytes in prop::collection::vec(prop::sample::select(&b"[]{}\",:\\ \nax\x1f\x8b\x08\x00"[..]), 0..200)) {
            if let Ok(mut file) = RecordFile::open(&bytes[..]) {
                let mut text = Vec::new();
                while let Ok(Some(_)) = file.next(&mut text) {}
                prop_assert!(text.len() <= bytes.len());
            }
        }

        #[test]
        fn an_archive_cannot_be_changed_unseen(place in 0..3000usize, bit in 0..8u8) {
            let mut bytes = archive(3);
            let place = 10 + place % (bytes.len() - 10);
            bytes[place] ^= 1 << bit;
            // A few bits say the same either way, as where to take one more of many zeros from.
            let mut text = Vec::new();
            let is_same = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).is_ok() && text == plain(3);
            prop_assert!(is_same || read(&bytes).1.is_some());
        }
    }
}
