package gitsource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// A work directory holds one directory for each fetch in use, named lanyard-revision-
// and a number. Each has a file that the process which uses it keeps locked, so that
// what a crashed process has left can be told from what a living one reads, in this
// container or beside it. Nothing of another name is ever touched.
const (
	storePrefix = "lanyard-revision-"
	lockName    = "in-use"
	// young is how long a directory without a lock may be one that is being made.
	young = time.Hour
)

// store is a directory for one fetch.
type store struct {
	dir  string
	lock *os.File
}

// newStore makes a directory and locks it. Whoever sweeps may come in between, and
// then another is made.
func newStore(workDir string) (*store, error) {
	var errs []error
	for range 3 {
		s, err := tryStore(workDir)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, remedy.Mark(remedy.Hold, fmt.Errorf("make a place for the fetch: %w: give a work directory that can be written", errors.Join(errs...)))
}

func tryStore(workDir string) (*store, error) {
	dir, err := os.MkdirTemp(workDir, storePrefix)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, lockName)
	lock, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if tryLock(lock) {
		mine, err := lock.Stat()
		there, gone := os.Stat(name)
		if err == nil && gone == nil && os.SameFile(mine, there) {
			return &store{dir: dir, lock: lock}, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s was swept away", dir), lock.Close(), os.RemoveAll(dir))
}

func (s *store) drop() error { return errors.Join(os.RemoveAll(s.dir), s.lock.Close()) }

// sweep removes the directories that nobody uses any more.
func sweep(workDir string, now time.Time) error {
	if workDir == "" || !canLock {
		return nil
	}
	entries, err := os.ReadDir(workDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the first fetch says so
	} else if err != nil {
		return remedy.Mark(remedy.Hold, fmt.Errorf("clear the work directory: %w: give one that can be read", err))
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), storePrefix) {
			continue
		}
		if err := sweepOne(filepath.Join(workDir, e.Name()), now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return remedy.Mark(remedy.Hold, fmt.Errorf("clear the work directory: %w: remove its %s* directories", err, storePrefix))
	}
	return nil
}

func sweepOne(dir string, now time.Time) error {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Stat(dir)
		if err != nil || now.Sub(info.ModTime()) < young {
			return err
		}
		return os.RemoveAll(dir)
	} else if err != nil {
		return err
	}
	defer lock.Close()
	if !tryLock(lock) {
		return nil
	}
	return os.RemoveAll(dir)
}
