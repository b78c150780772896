package gitsource

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// signer is a line of an allowed signers file. Its form is that of ssh-keygen(1)
// under ALLOWED SIGNERS, https://man.openbsd.org/ssh-keygen#ALLOWED_SIGNERS:
//
//	principals [options] keytype base64-key [comment]
type signer struct {
	line          int
	principals    string // patterns, by comma
	key           ssh.PublicKey
	authority     bool   // it signs certificates, and nothing itself
	namespaces    string // patterns, by comma; empty: any
	after, before time.Time
}

// maxSigners bounds the lines with keys of one file.
const maxSigners = 10_000

// parseSigners reads an allowed signers file. ssh-keygen passes over lines that it
// cannot read; here they are errors, all at once, because a key that is left out by
// a slip of the pen is found out when its owner's commit is held.
func parseSigners(data []byte) ([]signer, error) {
	var all []signer
	var errs []error
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if len(all)+len(errs) >= maxSigners {
			return nil, fmt.Errorf("line %d: more than %d signers: use a certificate authority", n, maxSigners)
		}
		s, err := parseSigner(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		s.line = n
		all = append(all, s)
	}
	switch {
	case len(errs) > 10:
		return nil, errors.Join(append(errs[:10:10], fmt.Errorf("and %d lines more", len(errs)-10))...)
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	case len(all) == 0:
		return nil, errors.New("there is no signer in it: write lines of principal, key type and key")
	}
	return all, nil
}

func parseSigner(line string) (signer, error) {
	const form = `write "name@example.com [options] ssh-ed25519 AAAA..."`
	principals, rest, ok := word(line)
	if !ok || principals == "" {
		return signer{}, errors.New("the principals are missing, or a quote is not closed: " + form)
	}
	s := signer{principals: principals}
	if s.key = parseKey(rest); s.key != nil {
		return s, nil
	}
	options, rest, ok := pastOptions(rest)
	if !ok {
		return signer{}, errors.New("a quote is not closed: " + form)
	}
	if s.key = parseKey(rest); s.key == nil {
		return signer{}, errors.New("there is no public key where one should be: " + form)
	}
	return s, s.set(options)
}

// word takes a word off a line, which may stand in double quotes.
func word(line string) (first, rest string, ok bool) {
	if quoted, is := strings.CutPrefix(line, `"`); is {
		first, rest, ok = strings.Cut(quoted, `"`)
		return first, strings.TrimLeft(rest, " \t"), ok
	}
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, "", true
	}
	return line[:i], strings.TrimLeft(line[i:], " \t"), true
}

// parseKey reads "keytype base64-key [comment]"; nil if it is not that.
func parseKey(s string) ssh.PublicKey {
	fields := strings.Fields(s)
	if len(fields) < 2 {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return nil
	}
	key, err := ssh.ParsePublicKey(raw)
	if err != nil || key.Type() != fields[0] {
		return nil
	}
	return key
}

// pastOptions takes the options off a line: up to the first blank outside quotes.
func pastOptions(line string) (options []string, rest string, ok bool) {
	quoted, start := false, 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ',':
			options = append(options, line[start:i])
			start = i + 1
		case c == ' ' || c == '\t':
			return append(options, line[start:i]), strings.TrimLeft(line[i:], " \t"), true
		}
	}
	return append(options, line[start:]), "", !quoted
}

// set applies options. Each may stand once, as in ssh-keygen.
func (s *signer) set(options []string) error {
	seen := map[string]bool{}
	for _, option := range options {
		name, value, valued := strings.Cut(option, "=")
		name = strings.ToLower(name)
		if valued {
			inner, opened := strings.CutPrefix(value, `"`)
			inner, closed := strings.CutSuffix(inner, `"`)
			if !opened || !closed || inner == "" {
				return fmt.Errorf(`option %.40q has no value in quotes: write %s="..."`, option, shorten(name))
			}
			value = strings.ReplaceAll(inner, `\"`, `"`)
		}
		if seen[name] {
			return fmt.Errorf("option %.40q stands twice: delete one", name)
		}
		seen[name] = true
		var err error
		switch {
		case name == "cert-authority" && !valued:
			s.authority = true
		case name == "namespaces" && valued:
			s.namespaces = value
		case name == "valid-after" && valued:
			s.after, err = parseWhen(value)
		case name == "valid-before" && valued:
			s.before, err = parseWhen(value)
		default:
			return fmt.Errorf("option %.40q is unknown: write cert-authority, namespaces, valid-after or valid-before", option)
		}
		if err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
	}
	if !s.after.IsZero() && !s.before.IsZero() && !s.after.Before(s.before) {
		return errors.New("valid-after is not before valid-before: write a time in which the key is valid")
	}
	return nil
}

// parseWhen reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, in local time unless a
// Z follows.
func parseWhen(s string) (time.Time, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	layouts := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}
	t, err := time.ParseInLocation(layouts[len(digits)], digits, zone)
	if err != nil || layouts[len(digits)] == "" {
		return time.Time{}, fmt.Errorf("%.40q is not a time: write YYYYMMDDZ or YYYYMMDDHHMMSSZ", s)
	}
	return t, nil
}
