//! The cases whose verdict is not OK, and why they may be so.

use super::{Case, Verdict};

/// A case that is not OK.
pub(super) struct Exception {
    protocol: &'static str,
    case: &'static str,
    behavior: &'static str,
    close: &'static str,
    pub(super) reason: &'static str,
}

/// All of them, the same for every server.
pub(super) const EXCEPTIONS: &[Exception] = &[
    informational("rfc6455", "7.1.6", BACK_TO_BACK),
    informational("rfc6455", "7.13.1", CODE_BEYOND),
    informational("rfc6455", "7.13.2", CODE_BEYOND),
    informational("hybi8", "7.1.6", BACK_TO_BACK),
    informational("hybi8", "7.13.1", CODE_BEYOND),
    informational("hybi8", "7.13.2", CODE_BEYOND),
    wrong_code(
        "7.9.3",
        "1004 means \"frame too large\" in hybi-10 (7.4.1), so the server answers with it; RFC 6455 withdrew it",
    ),
    wrong_code("7.9.6", RESERVED_CODE),
    wrong_code("7.9.7", RESERVED_CODE),
    wrong_code("7.9.8", RESERVED_CODE),
    wrong_code("7.9.9", RESERVED_CODE),
];

const BACK_TO_BACK: &str = "Autobahn gives no verdict on whether a long message just ahead of the close frame is \
                            echoed. It is";

const CODE_BEYOND: &str = "Autobahn gives no verdict on close codes from 5000 on. The answer is 1002";

const RESERVED_CODE: &str = "hybi-10 reserves the code for its later versions and for extensions (7.4.2), whose \
                             clients may send it, so the server answers with it";

const fn informational(protocol: &'static str, case: &'static str, reason: &'static str) -> Exception {
    Exception { protocol, case, behavior: "INFORMATIONAL", close: "INFORMATIONAL", reason }
}

/// Autobahn judges hybi-10 by the close codes of RFC 6455.
const fn wrong_code(case: &'static str, reason: &'static str) -> Exception {
    Exception { protocol: "hybi8", case, behavior: "FAILED", close: "WRONG CODE", reason }
}

impl Exception {
    pub(super) fn key(&self) -> (String, Case) {
        (self.protocol.into(), Case::parse(self.case))
    }

    pub(super) fn verdict(&self) -> Verdict {
        Verdict { behavior: self.behavior.into(), close: self.close.into() }
    }
}
