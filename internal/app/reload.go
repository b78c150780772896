package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/desired"
)

// settings is the operator's configuration as it is now: the file is read again every
// few seconds, and what cannot be read or understood leaves the last good one in force.
// Reading it whole costs nothing and sees every way in which a file changes, the
// symbolic links of a mounted ConfigMap included.
type settings struct {
	file     string
	override func(*desired.Configuration) error
	now      func() time.Time
	told     func(loaded)

	mu      sync.Mutex
	last    loaded // the last try
	good    *desired.Configuration
	changed chan struct{} // closed when a new one comes into force
}

// loaded is one try to load the configuration.
type loaded struct {
	sum string // SHA-256 of the file
	at  time.Time
	err error // why it is not in force
}

// maxConfiguration bounds what is read of the file.
const maxConfiguration = 1 << 20

// openSettings reads the configuration; at a start there is no last good one.
func openSettings(file string, override func(*desired.Configuration) error, now func() time.Time) (*settings, error) {
	s := &settings{file: file, override: override, now: now, told: func(loaded) {}, changed: make(chan struct{})}
	s.reload()
	return s, s.last.err
}

// Now returns the configuration in force, and what is closed when another one is.
func (s *settings) Now() (*desired.Configuration, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good, s.changed
}

// watch reads the file again and again, until the context ends.
func (s *settings) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.reload()
		}
	}
}

// reload reads the file, and tells of what is new: each content once, good or bad.
func (s *settings) reload() {
	data, err := readFile(s.file, maxConfiguration)
	sum := ""
	if err == nil {
		hash := sha256.Sum256(data)
		sum = hex.EncodeToString(hash[:])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.last.sum == sum && (err == nil || s.last.err != nil && s.last.err.Error() == err.Error())
	if same && !s.last.at.IsZero() {
		return
	}
	var c *desired.Configuration
	if err == nil {
		c, err = s.parse(data)
	}
	s.last = loaded{sum: sum, at: s.now(), err: err}
	if err == nil {
		s.good = c
		close(s.changed)
		s.changed = make(chan struct{})
	}
	s.told(s.last)
}

func (s *settings) parse(data []byte) (*desired.Configuration, error) {
	c, err := desired.ParseConfiguration(s.file, data)
	if err != nil {
		return nil, err
	}
	if s.override != nil {
		if err := s.override(c); err != nil {
			return nil, err
		}
	}
	if c.Source.URL == "" {
		return nil, fmt.Errorf("%s: source.url is missing: write the repository that the daemon is to watch", c.At.File)
	}
	return c, nil
}

// readFile reads a file of at most so many bytes.
func readFile(name string, most int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w: name the operator's file with --config", err)
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s: %d bytes: a configuration has at most %d", name, info.Size(), most)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w: name the operator's file with --config", err)
	}
	return data, nil
}

// sameHands reports whether two configurations differ in guard rails only, which the
// rounds to come can obey as they are: everything else is built into the clients.
func sameHands(a, b *desired.Configuration) bool {
	bare := func(c desired.Configuration) desired.Configuration {
		c.Allow, c.Protect, c.Budgets, c.Prune, c.OrganizationID = nil, nil, desired.Budgets{}, "", ""
		c.Migration, c.Source.Accept = desired.Pace{}, ""
		c.At, c.AllowAt = desired.Position{}, desired.Position{}
		accounts := make([]desired.Account, len(c.Accounts))
		for i, x := range c.Accounts {
			x.At = desired.Position{}
			accounts[i] = x
		}
		c.Accounts = accounts
		return c
	}
	return reflect.DeepEqual(bare(*a), bare(*b))
}
