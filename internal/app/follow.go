package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/identity"
)

// followed is Git as the daemon reads it: the last accepted commit, which the Lease
// remembers, stays in force until the head is accepted.
type followed struct {
	follower *gitsource.Follower
	book     *book
	accept   func() string // source.accept, as it is now
	told     func(gitsource.Standing)
	looked   func(gitsource.Standing, error, time.Duration) // told of each look at the head, whatever came
}

// openFollowed opens the repository of the configuration's source.
func openFollowed(c *desired.Configuration, workDir string, b *book, accept func() string, told func(gitsource.Standing), looked func(gitsource.Standing, error, time.Duration)) (*followed, error) {
	source, err := gitsource.Open(sourceOptions(c.Source, workDir))
	if err != nil {
		return nil, err
	}
	return &followed{follower: gitsource.Follow(source, c.Source.Paths), book: b, accept: accept, told: told, looked: looked}, nil
}

// Latest returns what the accepted revision wants. A head that was accepted just now
// is written to the Lease before anything is done about it: a replica that starts
// afterwards must not fall back behind it.
func (f *followed) Latest(ctx context.Context, c identity.Cluster) (desired.State, error) {
	accept := f.accept()
	if spent := f.book.Spent(); spent != "" && spent != accept {
		if err := f.book.Unspend(ctx); err != nil {
			return desired.State{}, fmt.Errorf("remember that source.accept has changed: %w", err)
		}
	}
	spent := accept != "" && f.book.Spent() == accept
	start := time.Now()
	standing, err := f.follower.Latest(ctx, gitsource.Ask{Cluster: c, Last: f.book.Accepted(), Accept: accept, Spent: spent})
	f.looked(standing, err, time.Since(start))
	if err != nil {
		return desired.State{}, err
	}
	if commit := standing.State.Revision.Commit; standing.Moved {
		if err := f.book.Accept(ctx, commit, commit == accept); err != nil {
			return desired.State{}, fmt.Errorf("remember that revision %s is accepted: %w", standing.State.Revision, err)
		}
	}
	f.told(standing)
	state := standing.State
	state.Held = heldOf(standing.Held)
	return state, nil
}

// Close gives the repository back.
func (f *followed) Close() error { return f.follower.Close() }

// heldReasons says in design's words why a head is not followed.
var heldReasons = map[gitsource.Reason]desired.HeldReason{
	gitsource.Unreachable: desired.HeldUnreachable,
	gitsource.Unreadable:  desired.HeldUnreachable,
	gitsource.Unverified:  desired.HeldUnsigned,
	gitsource.Broken:      desired.HeldInvalid,
	gitsource.Stale:       desired.HeldRewound,
	gitsource.Emptied:     desired.HeldEmpty,
}

func heldOf(e *gitsource.HeldError) *desired.Held {
	if e == nil {
		return nil
	}
	h := &desired.Held{Reason: heldReasons[e.Reason], Head: e.Head.Commit, Message: e.Err.Error()}
	if mistakes, are := errors.AsType[desired.Errors](e.Err); are {
		h.Errors = mistakes
	}
	return h
}

// sourceOptions says how a configuration's repository is read.
func sourceOptions(s desired.Source, workDir string) gitsource.Options {
	return gitsource.Options{
		URL: s.URL, Ref: s.Ref, WorkDir: workDir,
		Auth: gitsource.Auth{
			Username: s.Auth.Username, TokenFile: s.Auth.TokenFile, PasswordFile: s.Auth.PasswordFile,
			SSHKeyFile: s.Auth.SSHKeyFile, SSHPassphraseFile: s.Auth.SSHPassphraseFile, KnownHostsFile: s.Auth.KnownHostsFile,
			CAFile: s.Auth.CAFile, Proxy: s.Auth.Proxy, PlainHTTP: s.Auth.PlainHTTP,
		},
		Verify: gitsource.Verify{GPGKeysFile: s.Verify.GPGKeysFile, AllowedSignersFile: s.Verify.AllowedSignersFile},
	}
}
