//! How exchanges are reached from here: straight or through a proxy, and which authorities are believed. Pure, but for the
//! file of authorities; the variables are the ones that curl knows.

use std::{fmt, net::IpAddr, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;

/// What the environment says about ways out.
#[derive(Debug, Clone, Default)]
pub struct WaysOut {
    /// `HTTPS_PROXY`: through whom `https://` sources are asked.
    proxy: Option<Proxy>,
    /// `NO_PROXY`: who is asked straight.
    straight: Vec<Straight>,
    /// `SSL_CERT_FILE`: authorities that are believed besides the public ones.
    pub(super) authorities: Option<PathBuf>,
    /// What is set and cannot be used, a line each.
    pub(super) complaints: Vec<String>,
}

/// Whom an entry of `NO_PROXY` means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Straight {
    Everybody,
    /// A host, or a domain with all below it.
    Name(String),
    /// Addresses like `10.0.0.0/8`, as long as they are not given by name: names are not looked up for this.
    Network(IpAddr, u32),
}

impl Straight {
    fn new(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_lowercase();
        if let Some((address, bits)) = entry.split_once('/')
            && let (Ok(address), Ok(bits)) = (address.parse(), bits.parse())
        {
            return Some(Self::Network(address, bits));
        }
        match entry.trim_start_matches("*.").trim_start_matches('.') {
            "" => None,
            "*" => Some(Self::Everybody),
            name => Some(Self::Name(name.trim_matches(['[', ']']).to_owned())),
        }
    }

    fn means(&self, host: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::Name(name) => {
                let rest = host.strip_suffix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Network(network, bits) => match (network, host.parse()) {
                (IpAddr::V4(network), Ok(IpAddr::V4(host))) => {
                    let differing = network.to_bits() ^ host.to_bits();
                    differing.leading_zeros() >= *bits
                }
                (IpAddr::V6(network), Ok(IpAddr::V6(host))) => {
                    let differing = network.to_bits() ^ host.to_bits();
                    differing.leading_zeros() >= *bits
                }
                _ => false,
            },
        }
    }
}

/// A proxy that takes CONNECT (RFC 9110, 9.3.6).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`: a secret.
    pub(super) authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl WaysOut {
    /// Out of variables of that name; of two spellings the lower-case one counts, as with curl.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let any = |names: [&str; 2]| {
            names
                .into_iter()
                .filter_map(&variable)
                .find(|value| !value.is_empty())
        };
        let mut ways = Self {
            straight: any(["no_proxy", "NO_PROXY"])
                .unwrap_or_default()
                .split([',', ' '])
                .filter_map(Straight::new)
                .collect(),
            authorities: variable("SSL_CERT_FILE")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            ..Self::default()
        };
        if let Some(text) = any(["https_proxy", "HTTPS_PROXY"]) {
            match proxy(&text) {
                Ok(proxy) => ways.proxy = Some(proxy),
                Err(why) => ways.complaints.push(format!("HTTPS_PROXY is not used: {why}")),
            }
        }
        ways
    }

    /// The proxy for that host, if it is not asked straight. This machine always is.
    pub(super) fn proxy_for(&self, is_https: bool, host: &str) -> Option<&Proxy> {
        let host = host.trim_matches(['[', ']']).to_lowercase();
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        let is_straight = self.straight.iter().any(|straight| straight.means(&host));
        self.proxy
            .as_ref()
            .filter(|_| is_https && !is_here && !is_straight)
    }

    /// What is used, for the log.
    pub(super) fn summary(&self) -> Option<String> {
        let proxy = self.proxy.as_ref().map(|proxy| format!("https_proxy={proxy:?}"));
        let authorities = self
            .authorities
            .as_ref()
            .map(|path| format!("authorities={}", path.display()));
        let parts: Vec<String> = proxy.into_iter().chain(authorities).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// `[http://][USER:PASSWORD@]HOST[:PORT][/]`. An error repeats nothing of it: it may hold a password.
fn proxy(text: &str) -> Result<Proxy, &'static str> {
    const EXPECTED: &str = "write it like http://proxy.example:3128";
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => {
            return Err("only proxies that speak plain HTTP are; write it like http://proxy.example:3128");
        }
        None => text,
    };
    let rest = rest.trim_end_matches('/');
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| EXPECTED)?),
        // As curl has it.
        _ => (address, 1080),
    };
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() || port == 0 || host.contains(['/', '?', '#', ' ']) {
        return Err(EXPECTED);
    }
    let authorization = user.map(|user| {
        let decoded: Vec<u8> = percent_decode_str(user).collect();
        format!("Basic {}", BASE64_STANDARD.encode(decoded))
    });
    Ok(Proxy {
        host: host.to_owned(),
        port,
        authorization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(variables: &[(&str, &str)]) -> WaysOut {
        WaysOut::new(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn https_goes_through_the_proxy_and_what_no_proxy_names_goes_straight() {
        let ways = ways(&[
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            (
                "NO_PROXY",
                "internal.example, .corp,10.0.0.7,192.168.0.0/16,fd00::/8",
            ),
        ]);
        let rows = [
            (true, "api.kraken.com", true),
            (false, "api.kraken.com", false),
            (true, "internal.example", false),
            (true, "a.INTERNAL.example", false),
            (true, "notinternal.example", true),
            (true, "x.corp", false),
            (true, "10.0.0.7", false),
            (true, "10.0.0.70", true),
            (true, "192.168.3.4", false),
            (true, "192.169.3.4", true),
            (true, "[fd12::1]", false),
            (true, "[fe80::1]", true),
            (true, "localhost", false),
            (true, "127.0.0.1", false),
            (true, "[::1]", false),
        ];
        for (is_https, host, is_proxied) in rows {
            assert_eq!(ways.proxy_for(is_https, host).is_some(), is_proxied, "{host}");
        }
    }

    #[test]
    fn of_two_spellings_the_lower_case_one_counts_and_a_star_is_everybody() {
        let both = ways(&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")]);
        assert_eq!(format!("{:?}", both.proxy_for(true, "x").unwrap()), "b:2");
        let none = ways(&[("HTTPS_PROXY", "http://a:1"), ("no_proxy", "*")]);
        assert!(none.proxy_for(true, "x").is_none());
        assert!(ways(&[]).proxy_for(true, "x").is_none());
    }

    #[test]
    fn a_proxys_address_may_lack_scheme_and_port_and_hold_a_password_that_is_never_shown() {
        let proxy_of = |text: &str| ways(&[("https_proxy", text)]).proxy.unwrap();
        assert_eq!(format!("{:?}", proxy_of("proxy")), "proxy:1080");
        assert_eq!(proxy_of("http://[::1]:8/").host, "::1");
        let with_password = proxy_of("http://me:p%40ss@proxy:3128");
        assert_eq!(with_password.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        assert_eq!(format!("{with_password:?}"), "proxy:3128");
    }

    #[test]
    fn what_cannot_be_used_is_said_without_repeating_it() {
        for wrong in [
            "socks5://me:secret@a:1",
            "https://me:secret@a",
            "http://me:secret@:1",
            "http://me:secret@a:x",
        ] {
            let ways = ways(&[("https_proxy", wrong)]);
            assert!(ways.proxy.is_none());
            assert!(ways.complaints[0].contains("HTTPS_PROXY is not used"), "{wrong}");
            assert!(!ways.complaints[0].contains("secret"), "{wrong}");
        }
    }
}
