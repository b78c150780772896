package gitsource

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// hostKeys is what an operator's known hosts file says of one server. Nothing is ever
// learned from the server: to trust a key at first sight is to trust whoever answers
// on the day of a restart.
type hostKeys struct {
	file, host string // host with its port
	db         *knownhosts.HostKeyDB
	refused    error // why the key was refused
	algorithms []string
}

// readHostKeys reads the file, in the form of sshd(8) under SSH_KNOWN_HOSTS FILE
// FORMAT, hashed names, @cert-authority and @revoked included.
func readHostKeys(file, host string) (*hostKeys, error) {
	if info, err := os.Stat(file); err != nil {
		return nil, unusable(file, fmt.Errorf("%w: write the server's host key into it, as ssh-keyscan prints it, after comparing it with the one that the host publishes", err))
	} else if info.Size() > maxKeyFile || !info.Mode().IsRegular() {
		return nil, unusable(file, fmt.Errorf("it is no file of at most %d bytes: name the right one", maxKeyFile))
	}
	db, err := knownhosts.NewDB(file)
	if err != nil {
		return nil, unusable(file, fmt.Errorf("%w: write lines as ssh-keyscan prints them", err))
	}
	h := &hostKeys{file: file, host: host, db: db}
	// Only kinds of keys that the file has are negotiated: a server has one key of
	// each kind, and would show one that is not known although another is.
	h.algorithms = db.HostKeyAlgorithms(host)
	return h, nil
}

// check is an [ssh.HostKeyCallback].
func (h *hostKeys) check(host string, remote net.Addr, key ssh.PublicKey) error {
	h.refused = h.judge(host, remote, key)
	return h.refused
}

func (h *hostKeys) judge(host string, remote net.Addr, key ssh.PublicKey) error {
	err := h.db.HostKeyCallback()(host, remote, key)
	if err == nil {
		return nil
	}
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	plain := key
	if c, ok := key.(*ssh.Certificate); ok {
		plain = c.Key
	}
	line := xknownhosts.Line([]string{h.host}, plain)
	refuse := func(format string, args ...any) error {
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w: "+format, append([]any{ErrHostKey}, args...)...))
	}
	if revoked, ok := errors.AsType[*xknownhosts.RevokedError](err); ok {
		return refuse("%s shows the key %s, which line %d of %s revokes: find out who answers there", h.host, shown, revoked.Revoked.Line, h.file)
	}
	unknown, ok := errors.AsType[*xknownhosts.KeyError](err)
	switch {
	case !ok:
		return refuse("%s shows %s: %w: look at its lines in %s", h.host, shown, err, h.file)
	case len(unknown.Want) == 0:
		return refuse("%s is not in %s; it shows %s: compare that with the fingerprint that the host publishes, and if they are the same add the line %q",
			h.host, h.file, shown, line)
	}
	var lines []string
	for _, w := range unknown.Want {
		lines = append(lines, fmt.Sprintf("%d (%s)", w.Line, ssh.FingerprintSHA256(w.Key)))
	}
	return refuse("%s shows %s, which is not the key of line %s of %s: someone may be in between; only if the host announces the change, put the line %q in its place",
		h.host, shown, strings.Join(lines, ", "), h.file, line)
}

// explain says what a failed handshake means; nil if it is not about host keys.
func (h *hostKeys) explain(err error) error {
	if h.refused != nil {
		return h.refused
	}
	negotiation, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	if ok && negotiation.What == "host key" {
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s has keys of the kinds %s, and %s knows it by %s: add one of its keys there, after comparing it with the one that the host publishes",
			ErrHostKey, h.host, strings.Join(negotiation.RequestedAlgorithms, ", "), h.file, strings.Join(h.algorithms, ", ")))
	}
	return nil
}
