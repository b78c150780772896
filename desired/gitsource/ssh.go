package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// sshTalk is a conversation over ssh: a connection on which git-upload-pack runs. It
// answers one request; for another the connection is made anew, which only a
// head that has moved far asks for.
type sshTalk struct {
	remote *remote
	login  login
	conn   *sshConn
	refs   *packp.AdvRefs
	asked  bool
}

// openSSH connects and starts git-upload-pack.
func openSSH(ctx context.Context, r *remote, l login) (conversation, error) {
	conn, err := dialSSH(ctx, r, l)
	if err != nil {
		return nil, err
	}
	return &sshTalk{remote: r, login: l, conn: conn}, nil
}

func (t *sshTalk) close() error {
	if t.conn == nil {
		return nil
	}
	if !t.asked {
		_ = pktline.NewEncoder(t.conn.stdin).Flush() // a polite end, if anyone still listens
	}
	t.conn.close()
	return nil
}

func (t *sshTalk) list(ctx context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(t.conn.bound(t.conn.stdout, "ListingBytes", t.remote.limits.ListingBytes))
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return nil, nil
	case err != nil:
		return nil, t.conn.explain(ctx, err)
	case refs.IsEmpty():
		return nil, nil
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	t.refs = refs
	return refs, nil
}

func (t *sshTalk) ask(ctx context.Context, asked *packp.UploadPackRequest) (io.ReadCloser, error) {
	if t.asked {
		t.conn.close()
		conn, err := dialSSH(ctx, t.remote, t.login)
		if err != nil {
			return nil, err
		}
		t.conn = conn
		if _, err := t.list(ctx); err != nil {
			return nil, err
		}
	}
	t.asked = true
	var body bytes.Buffer
	if err := encode(&body, asked); err != nil {
		return nil, err
	}
	t.conn.watch.clock.Reset(t.conn.watch.silence)
	_, err := t.conn.stdin.Write(body.Bytes())
	t.conn.watch.clock.Stop()
	if err != nil {
		return nil, t.conn.explain(ctx, err)
	}
	_ = t.conn.stdin.Close()
	return t.conn.bound(&toTheEnd{t.conn}, "PackBytes", t.remote.limits.PackBytes), nil
}

// sshConn is one run of git-upload-pack.
type sshConn struct {
	witness *witness
	watch   *watch
	stop    func() bool
	client  *ssh.Client
	session *ssh.Session
	stdin   io.WriteCloser
	stdout  io.Reader
	talk    chan string // what the server said beside the answer, once it has ended
}

// dialSSH makes the connection. Whatever the server does, the context's end or its
// silence closes it, which ends all that waits on it.
func dialSSH(ctx context.Context, r *remote, l login) (*sshConn, error) {
	known, err := readHostKeys(r.auth.KnownHostsFile, r.place.host)
	if err != nil {
		return nil, err
	}
	guard := watched(ctx, r.limits.Silence)
	defer guard.clock.Stop()
	fail := func(err error) error {
		err = guard.blame(err)
		guard.cancel(nil)
		return r.seen.fail(err)
	}
	plain, err := new(net.Dialer).DialContext(guard.ctx, "tcp", r.place.host)
	if err != nil {
		return nil, fail(remedy.Mark(remedy.Retry, fmt.Errorf("%w: %w: check the address and the network", ErrUnreachable, err)))
	}
	counted := &countedConn{Conn: plain, witness: &r.seen, most: r.limits.PackBytes + r.limits.ListingBytes + slack}
	c := &sshConn{witness: &r.seen, watch: guard, stop: context.AfterFunc(guard.ctx, func() { _ = plain.Close() }), talk: make(chan string, 1)}
	if err := c.start(counted, r, l, known); err != nil {
		c.stop()
		return nil, errors.Join(fail(err), ignore(plain.Close()))
	}
	return c, nil
}

// ignore is for closing what has failed already.
func ignore(error) error { return nil }

// start greets the server and runs the command.
func (c *sshConn) start(conn net.Conn, r *remote, l login, known *hostKeys) error {
	inner, channels, requests, err := ssh.NewClientConn(conn, r.place.host, &ssh.ClientConfig{
		User: r.place.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(l.key)},
		HostKeyCallback: known.check, HostKeyAlgorithms: known.algorithms,
	})
	if err != nil {
		if refused := known.explain(err); refused != nil {
			return refused
		}
		if strings.Contains(err.Error(), "unable to authenticate") {
			return remedy.Mark(remedy.Hold, fmt.Errorf("%w: %s does not let user %s in with the key %s of %s: register that key there, with leave to read the repository",
				ErrAuth, r.place.host, r.place.user, ssh.FingerprintSHA256(l.key.PublicKey()), r.auth.SSHKeyFile))
		}
		return remedy.Mark(remedy.Retry, fmt.Errorf("%w: %w: check that an ssh server answers there", ErrUnreachable, err))
	}
	c.client = ssh.NewClient(inner, channels, requests)
	session, err := c.client.NewSession()
	if err == nil {
		c.session = session
		var stderr io.Reader
		c.stdin, _ = session.StdinPipe() // these fail on a session that runs already
		c.stdout, _ = session.StdoutPipe()
		stderr, _ = session.StderrPipe()
		go func() { c.talk <- firstOf(stderr) }()
		err = session.Start(transport.UploadPackServiceName + " " + quoted(r.place.path))
	}
	if err != nil {
		return remedy.Mark(remedy.Retry, fmt.Errorf("%w: the server does not run git-upload-pack: %w: check that it serves Git", ErrUnreachable, err))
	}
	return nil
}

// quoted is a path in single quotes, for the shell that a server may have between.
func quoted(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

// firstOf returns the start of what r has, and reads the rest, so that a server that
// talks much is not held up by it; countedConn bounds that.
func firstOf(r io.Reader) string {
	start, _ := io.ReadAll(io.LimitReader(r, 1000))
	_, _ = io.Copy(io.Discard, r)
	return string(start)
}

func (c *sshConn) close() {
	c.watch.clock.Stop()
	c.stop()
	_ = c.client.Close()
	c.watch.cancel(nil)
}

// toTheEnd tells an answer that is at its end from one that broke off, which the
// ssh package does not.
type toTheEnd struct{ c *sshConn }

func (e *toTheEnd) Read(p []byte) (int, error) {
	n, err := e.c.stdout.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if ended := e.c.session.Wait(); ended != nil {
		return n, fmt.Errorf("git-upload-pack: %w", ended)
	}
	return n, io.EOF
}

func (c *sshConn) bound(r io.Reader, limit string, most int64) io.ReadCloser {
	return &bounded{ReadCloser: io.NopCloser(r), witness: c.witness, watch: c.watch.again(), left: most, limit: limit, most: most}
}

// again is the watch for one answer, after which the connection may live on.
func (w *watch) again() *watch {
	copied := *w
	copied.cancel = func(error) {}
	return &copied
}

// explain adds what the server said where it said no more than that.
func (c *sshConn) explain(ctx context.Context, err error) error {
	if seen := c.witness.failure(); seen != nil || ctx.Err() != nil {
		return err
	}
	var said string
	if line, ok := errors.AsType[*pktline.ErrorLine](err); ok {
		said = line.Text
	} else if errors.Is(err, packp.ErrEmptyInput) || errors.Is(err, io.EOF) { // it has hung up, and may say why
		c.watch.clock.Reset(c.watch.silence)
		defer c.watch.clock.Stop()
		select {
		case said = <-c.talk:
		case <-c.watch.ctx.Done():
			return c.watch.blame(err)
		}
	}
	said = strings.Join(strings.Fields(strings.Map(printableRune, said)), " ")
	lower := strings.ToLower(said)
	for _, hint := range []string{"not found", "not appear to be", "does not exist", "no such", "could not be found", "access denied", "don't have access"} {
		if strings.Contains(lower, hint) {
			return remedy.Mark(remedy.Hold, fmt.Errorf("%w: the server says %q: check the path, and that the key may read the repository", ErrNoRepository, said))
		}
	}
	if strings.Contains(lower, "permission denied") || strings.Contains(lower, "not authorized") {
		return remedy.Mark(remedy.Hold, fmt.Errorf("%w: the server says %q: let the key read the repository", ErrAuth, said))
	}
	return remedy.Mark(remedy.Retry, fmt.Errorf("%w: %w: the server says %q: check that it serves Git", ErrUnreachable, err, said))
}

// printableRune drops what could steer a terminal.
func printableRune(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

// slack is what a connection may take beyond its answers: the protocol's own, and what
// the ssh package reads ahead, which is 2 MiB for each stream.
const slack = 8 << 20

// countedConn bounds what a server sends in all, whatever it is: the answer, talk
// beside it, requests, or the noise of the protocol itself.
type countedConn struct {
	net.Conn
	witness *witness
	read    atomic.Int64
	most    int64
}

// Read counts.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.read.Add(int64(n)) > c.most {
		_ = c.Conn.Close()
		return 0, c.witness.fail(over("PackBytes", c.most, "ssh connection of more than %d bytes", c.most))
	}
	return n, err
}
