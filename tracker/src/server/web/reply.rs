//! What the web port answers. Pure: a request's head in, an answer out.

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, HeaderName, HeaderValue, UPGRADE},
};
use shared::wire::{TUNNEL_PATH, TUNNEL_PROTOCOL};

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// To a person who looks what this is.
    Greeting,
    /// The connection becomes a tunnel to this tracker.
    Tunnel,
    /// A tunnel is only to be had by an upgrade.
    NoUpgrade,
    /// A tunnel to somewhere else.
    OtherPlace,
    /// Nothing here takes this method.
    Method,
    /// There is no such page.
    NotFound,
}

impl Reply {
    /// The answer to this request.
    pub(super) fn to<B>(request: &Request<B>) -> Self {
        let readable = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/" if readable => Self::Greeting,
            "/" => Self::Method,
            TUNNEL_PATH if request.method() != Method::GET => Self::Method,
            TUNNEL_PATH if request.version() == Version::HTTP_11 && asks_for_tunnel(request.headers()) => Self::Tunnel,
            TUNNEL_PATH => Self::NoUpgrade,
            other if other.starts_with(TUNNELS) => Self::OtherPlace,
            _ => Self::NotFound,
        }
    }

    /// As HTTP, without a word about program, version or time.
    pub(super) fn response(self) -> Response<String> {
        let (status, text) = match self {
            Self::Greeting => {
                (StatusCode::OK, "This is a Swapmeet tracker. Members join it with the program swapmeet.\n")
            }
            Self::Tunnel => (StatusCode::SWITCHING_PROTOCOLS, ""),
            Self::NoUpgrade => (StatusCode::UPGRADE_REQUIRED, "Only by an upgrade to connect-udp.\n"),
            Self::OtherPlace => (StatusCode::FORBIDDEN, "There are no tunnels to other places.\n"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "Not by this method.\n"),
            Self::NotFound => (StatusCode::NOT_FOUND, "There is nothing here.\n"),
        };
        let mut response = Response::new(text.to_owned());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        match self {
            Self::Tunnel => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static(TUNNEL_PROTOCOL));
                headers.insert(CAPSULE_PROTOCOL, HeaderValue::from_static("?1"));
                return response;
            }
            Self::NoUpgrade => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static(TUNNEL_PROTOCOL));
            }
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            Self::Greeting | Self::OtherPlace | Self::NotFound => {}
        }
        for (name, value) in PAGE_HEADERS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}

/// Whether these headers ask for an upgrade to a tunnel (RFC 9298, section 3.2).
fn asks_for_tunnel(headers: &HeaderMap) -> bool {
    let lists = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    lists(CONNECTION, "upgrade") && lists(UPGRADE, TUNNEL_PROTOCOL)
}

/// Below which all tunnels of RFC 9298 begin.
const TUNNELS: &str = "/.well-known/masque/udp/";
/// Says that what follows are capsules (RFC 9297, section 3.4).
const CAPSULE_PROTOCOL: HeaderName = HeaderName::from_static("capsule-protocol");
/// Nothing of a page may be run, framed, guessed at, kept, or told to others.
const PAGE_HEADERS: [(&str, &str); 5] = [
    ("content-type", "text/plain; charset=utf-8"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Reply::to(&request.body(()).expect("it is a request"))
    }

    #[test]
    fn a_tunnel_is_opened_by_an_upgrade_to_it() {
        let asked = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "connect-udp"), ("Capsule-Protocol", "?1")];
        assert_eq!(reply("GET", TUNNEL_PATH, &asked), Reply::Tunnel);
        assert_eq!(reply("POST", TUNNEL_PATH, &asked), Reply::Method);
        assert_eq!(reply("GET", TUNNEL_PATH, &asked[1..]), Reply::NoUpgrade);
        assert_eq!(reply("GET", TUNNEL_PATH, &[("Connection", "upgrade"), ("Upgrade", "websocket")]), Reply::NoUpgrade);
    }

    #[test]
    fn a_tunnel_leads_nowhere_else() {
        let asked = [("Connection", "upgrade"), ("Upgrade", "connect-udp")];
        for path in ["192.0.2.1/53/", "localhost/7443/", "tracker.swapmeet.invalid/22/", ""] {
            assert_eq!(reply("GET", &format!("{TUNNELS}{path}"), &asked), Reply::OtherPlace, "{path}");
        }
    }

    #[test]
    fn pages_are_plain_and_say_nothing_about_the_program() {
        for (method, path, expected, status) in [
            ("GET", "/", Reply::Greeting, 200),
            ("HEAD", "/?x=1", Reply::Greeting, 200),
            ("DELETE", "/", Reply::Method, 405),
            ("GET", "/index.html", Reply::NotFound, 404),
            ("GET", "/../etc/passwd", Reply::NotFound, 404),
        ] {
            let got = reply(method, path, &[]);
            assert_eq!(got, expected, "{method} {path}");
            let response = got.response();
            assert_eq!(response.status().as_u16(), status);
            assert!(response.headers().get("server").is_none() && response.headers().get("date").is_none());
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert!(!response.body().contains(env!("CARGO_PKG_VERSION")));
        }
    }
}
