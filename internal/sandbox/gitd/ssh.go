package gitd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// SSHOptions say how a repository is served over ssh.
type SSHOptions struct {
	// Git is the path of a git binary, which is required: git upload-pack answers.
	Git string
	// HostKeys are what the server shows; one of its own if there is none.
	HostKeys []ssh.Signer
	// Users are the public keys that are let in.
	Users []ssh.PublicKey
	// Answer, if set, answers in place of git upload-pack, so that a test can be a
	// hostile server. What it returns is the exit status.
	Answer func(command string, channel io.ReadWriter, stderr io.Writer) uint32
}

// SSHServer serves one repository over ssh on loopback until its context ends or it
// is closed.
type SSHServer struct {
	// URL is ssh://git@127.0.0.1:port/name.
	URL string
	// Addr is 127.0.0.1:port.
	Addr string
	// HostKey is the first of those that the server shows.
	HostKey ssh.PublicKey

	options  SSHOptions
	repo     *Repo
	config   *ssh.ServerConfig
	listener net.Listener
	cancel   context.CancelFunc
	wait     sync.WaitGroup
	mu       sync.Mutex
	commands []string
	conns    map[net.Conn]bool
}

// ServeSSH starts to serve repo on a free port of 127.0.0.1.
func ServeSSH(ctx context.Context, repo *Repo, o SSHOptions) (*SSHServer, error) {
	if len(o.HostKeys) == 0 {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, fmt.Errorf("serve %s: %w", repo.Dir, err)
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			return nil, fmt.Errorf("serve %s: %w", repo.Dir, err)
		}
		o.HostKeys = []ssh.Signer{signer}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", repo.Dir, err)
	}
	s := &SSHServer{
		Addr: listener.Addr().String(), HostKey: o.HostKeys[0].PublicKey(),
		options: o, repo: repo, listener: listener, conns: map[net.Conn]bool{},
	}
	s.URL = "ssh://git@" + s.Addr + "/fleet.git"
	s.config = &ssh.ServerConfig{PublicKeyCallback: s.admit}
	for _, key := range o.HostKeys {
		s.config.AddHostKey(key)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	context.AfterFunc(ctx, s.drop)
	s.wait.Go(func() { s.accept(ctx) })
	return s, nil
}

// Close stops the server and drops its connections.
func (s *SSHServer) Close() error {
	s.cancel()
	s.drop()
	s.wait.Wait()
	return nil
}

func (s *SSHServer) drop() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Commands returns the commands that were asked for, in order.
func (s *SSHServer) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Forget drops the record.
func (s *SSHServer) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = nil
}

func (s *SSHServer) admit(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	for _, user := range s.options.Users {
		if bytes.Equal(user.Marshal(), key.Marshal()) {
			return &ssh.Permissions{}, nil
		}
	}
	return nil, errors.New("unknown key")
}

func (s *SSHServer) accept(ctx context.Context) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.wait.Go(func() {
			s.serve(ctx, conn)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *SSHServer) serve(ctx context.Context, conn net.Conn) {
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for asked := range channels {
		if asked.ChannelType() != "session" {
			_ = asked.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, inner, err := asked.Accept()
		if err != nil {
			return
		}
		s.wait.Go(func() { s.session(ctx, channel, inner) })
	}
}

// session runs the first command that is asked for.
func (s *SSHServer) session(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var asked struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &asked); err != nil {
			_ = r.Reply(false, nil)
			return
		}
		_ = r.Reply(true, nil)
		go ssh.DiscardRequests(requests)
		s.mu.Lock()
		s.commands = append(s.commands, asked.Command)
		s.mu.Unlock()
		status := s.run(ctx, asked.Command, channel)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

// run answers a read of the repository, which goes by any name that ends in its own.
func (s *SSHServer) run(ctx context.Context, command string, channel ssh.Channel) uint32 {
	if s.options.Answer != nil {
		return s.options.Answer(command, channel, channel.Stderr())
	}
	path, ok := strings.CutPrefix(command, "git-upload-pack '")
	if !ok || !strings.HasSuffix(path, "fleet.git'") {
		_, _ = fmt.Fprintf(channel.Stderr(), "fatal: %s does not appear to be a git repository\n", command)
		return 128
	}
	cmd := exec.CommandContext(ctx, s.options.Git, "-c", "uploadpack.allowReachableSHA1InWant=true",
		"-c", "uploadpack.allowFilter=true", "-c", "safe.directory=*", "upload-pack", s.repo.Dir)
	cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent"}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	stdin, err := cmd.StdinPipe() // not the channel itself, for whose end Wait would wait
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(stdin, channel)
		_ = stdin.Close()
	}()
	if err := cmd.Wait(); err != nil {
		return 128
	}
	return 0
}
