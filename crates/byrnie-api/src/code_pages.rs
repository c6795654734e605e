//! The reference page of each code: `docs/reference/codes`, and `byrnie analyze --explain`.

use std::fmt::Write as _;

use crate::codes::{Code, CodeInfo};

macro_rules! examples {
    ($($code:literal)*) => {
        /// Objects that make the compiler or an analysis say the code; a test sees to it.
        pub fn code_example(code: Code) -> Option<&'static str> {
            match code.0 {
                $($code => Some(include_str!(concat!("../code-examples/", stringify!($code), ".yaml"))),)*
                _ => None,
            }
        }
    };
}

examples! {
    101 102 103 104 105 106 107 109 120 121 126 131 140 141 180 181 182 183 184 185 186 187 188
}

/// The page of one code; `None`: there is no such code.
pub fn code_page(code: Code) -> Option<String> {
    let CodeInfo { title, meaning, remedy, .. } = code.info()?;
    let mut page =
        format!("# {code}: {title}\n\n{meaning}\n\n**What to do:** {remedy}.\n\n{}\n", said_by(code));
    if let Some(example) = code_example(code) {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "\n## Example\n\n`byrnie analyze -f` of this file says it:\n\n```yaml\n{example}```\n"
        );
    }
    Some(page)
}

fn said_by(code: Code) -> &'static str {
    match code.0 {
        0..=99 => "Said when objects are read: by `apply`, `up` and `analyze`, with file, line and field.",
        100..=179 => {
            "Said about objects that are in order by themselves: by `apply`, `describe` and `analyze`, and in the \
             object's conditions."
        }
        180 => "Said about objects that are in order by themselves: by `apply`, `describe` and `analyze`.",
        181..=199 => "Said by `byrnie analyze`, about files or about the running mesh.",
        200..=299 => {
            "Said by a proxy about one request or connection: in its answer inside the mesh, its log and its metrics."
        }
        300..=399 => "Said about identities, certificates and the stream between proxy and control plane.",
        _ => "Said by the command line, the supervisor or the control plane.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::CODES;

    #[test]
    fn every_code_has_a_page() {
        for row in CODES {
            let page = code_page(row.code).unwrap();
            assert!(page.starts_with(&format!("# {}: ", row.code)) && page.contains(row.meaning), "{page}");
        }
        assert_eq!(code_page(Code(9999)), None);
    }

    #[test]
    fn every_example_can_be_applied() {
        for (row, example) in CODES.iter().filter_map(|row| Some((row, code_example(row.code)?))) {
            let reading = crate::read_documents(example, "example.yaml");
            assert_eq!(reading.findings, [], "{}", row.code);
        }
    }
}
