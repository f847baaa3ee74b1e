//! The accepted Hosts of requests: a page whose name resolves to this machine must not read the operator's data.

use std::net::IpAddr;

use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::{Request, Version};

/// Matches any name.
const ANY: &str = "*";

/// Whether a request is for an IP address, `localhost` or one of `names`. A request without a Host cannot come from a
/// browser; HTTP/1.1 requires one.
pub(super) fn is_allowed<B>(request: &Request<B>, names: &[String]) -> bool {
    if names.iter().any(|name| name == ANY) {
        return true;
    }
    let mut fields = request.headers().get_all(HOST).iter();
    let authority = match (request.uri().authority(), fields.next()) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(field)) => match Authority::try_from(field.as_bytes()) {
            Ok(authority) => Some(authority),
            Err(_) => return false,
        },
        (None, None) => None,
    };
    match authority {
        _ if fields.next().is_some() => false,
        Some(authority) => is_ours(authority.host(), names),
        None => request.version() < Version::HTTP_11,
    }
}

fn is_ours(host: &str, names: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is = |name: &str| host.eq_ignore_ascii_case(name);
    bare.parse::<IpAddr>().is_ok() || is("localhost") || names.iter().any(|name| is(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(host: &str, names: &[&str]) -> bool {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        is_allowed(&Request::builder().header(HOST, host).body(()).unwrap(), &names)
    }

    #[test]
    fn ip_addresses_localhost_and_listed_names_are_accepted() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9180",
            "10.1.2.3:80",
            "[::1]:9180",
            "[::1]",
            "localhost:9180",
            "LocalHost",
        ] {
            assert!(allows(host, &[]), "{host}");
        }
        for host in
            ["example.com", "127.0.0.1.example.com", "localhost.example.com:9180", "127.0.0.1@a", "", "a b"]
        {
            assert!(!allows(host, &[]), "{host}");
        }
        assert!(allows("metrics.example.com:9180", &["a", "Metrics.example.com"]));
        assert!(!allows("www.example.com", &["metrics.example.com"]));
        assert!(allows("www.example.com", &["*"]));
    }

    #[test]
    fn a_request_must_have_exactly_one_host() {
        let ask = |version, hosts: &[&str]| {
            let request = Request::builder().version(version);
            let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
            is_allowed(&request.body(()).unwrap(), &[])
        };
        assert!(ask(Version::HTTP_10, &[]) && ask(Version::HTTP_11, &["127.0.0.1"]));
        assert!(!ask(Version::HTTP_11, &[]) && !ask(Version::HTTP_11, &["127.0.0.1", "127.0.0.1"]));
    }
}
