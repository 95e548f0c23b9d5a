package config

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// optional lets an empty text pass a check.
func optional(check func(string) error) func(string) error {
	return func(text string) error {
		if text == "" {
			return nil
		}
		return check(text)
	}
}

func checkAddress(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("is not host:port")
	}
	if !isPort(port) {
		return errors.New("has no port from 0 to 65535")
	}
	if strings.ContainsFunc(host, isNotPrintable) {
		return errors.New("has a host with spaces or control characters")
	}
	return nil
}

// isPort reports whether text is a number from 0 to 65535, digits only.
func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func checkName(text string) error {
	if len(text) > 64 {
		return errors.New("is longer than 64 characters")
	}
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		default:
			return errors.New("has characters that are not allowed")
		}
	}
	return nil
}

func checkPath(text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("is not a path")
	}
	return nil
}

func checkAuthQuery(text string) error {
	switch {
	case strings.ContainsRune(text, 0):
		return errors.New("is not SQL")
	case !strings.Contains(text, "$1"):
		return errors.New("has no $1, which stands for the name of the role")
	}
	return nil
}

func checkToken(text string) error {
	switch {
	case len(text) > 4096:
		return errors.New("is longer than 4096 characters")
	case strings.ContainsFunc(text, isNotPrintable):
		// It travels in an HTTP header. A line end of the file that it was copied from is the usual cause.
		return errors.New("has spaces, line ends or characters outside ASCII")
	case text == redacted:
		return errors.New(`is the word "redacted": it was copied from what is printed, which hides secrets`)
	}
	return nil
}

func isNotPrintable(r rune) bool { return r <= ' ' || r > '~' }

func checkUpstream(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Opaque != "":
		// The error of url.Parse quotes what it could not parse, and with it perhaps the password.
		return errors.New("is not a URL (characters such as @ : / # % in a password are written %40 %3A %2F %23 %25)")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return errors.New("is not a URL that begins with postgres://")
	case u.Hostname() == "" && u.Query().Get("host") == "":
		return errors.New("names no host")
	case u.Port() != "" && !isPort(u.Port()):
		return errors.New("has no port from 0 to 65535")
	case u.Fragment != "":
		return errors.New("has a part after #, which a Postgres URL does not have")
	case Upstream(text).hasRedacted():
		return errors.New(`has the password "redacted": it was copied from what is printed, which hides passwords`)
	}
	return nil
}

// parseHomeURLs reads one or more URLs. An empty text alone stands for none.
func parseHomeURLs(values []string) ([]string, error) {
	if len(values) == 1 && values[0] == "" {
		return nil, nil
	}
	const most = 16
	if len(values) > most {
		return nil, errors.New("has more than 16 URLs")
	}
	var urls []string
	for _, text := range values {
		u, err := url.Parse(strings.TrimSpace(text))
		switch {
		case err != nil, u.Opaque != "", u.Scheme != "http" && u.Scheme != "https":
			return nil, errors.New("is not a URL that begins with http:// or https://")
		case u.Hostname() == "":
			return nil, errors.New("names no host")
		case u.Port() != "" && !isPort(u.Port()):
			return nil, errors.New("has no port from 0 to 65535")
		case u.User != nil:
			return nil, errors.New("has a user or password, which nobody reads")
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			return nil, errors.New("has a part after ? or #, which nobody reads")
		}
		normal := strings.TrimRight(u.String(), "/")
		for _, other := range urls {
			if other == normal {
				return nil, errors.New("names a home twice")
			}
		}
		urls = append(urls, normal)
	}
	return urls, nil
}

// isLoopback reports whether a URL's host is this machine.
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
