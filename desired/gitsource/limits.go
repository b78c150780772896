package gitsource

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bound what one look at a repository may take. A zero field means its
// default, which is ample for a repository of a hundred thousand mappings.
type Limits struct {
	// ListingBytes bounds the server's list of refs (32 MiB).
	ListingBytes int64
	// PackBytes bounds what a fetch brings over the wire (64 MiB). It stays in
	// memory, or in Options.WorkDir, as long as the snapshot is in use.
	PackBytes int64
	// UnpackedBytes bounds the same, decompressed and with deltas applied
	// (512 MiB), and ObjectBytes any one object of it (32 MiB): a small pack can
	// claim to be very large. Reading a fetch through its deltas may take eight
	// times as much, of all objects and of any one. An eighth of it bounds what a merge
	// compares by lines.
	UnpackedBytes, ObjectBytes int64
	// Objects bounds the number of objects in a fetch (500,000).
	Objects int64
	// Files bounds the files and directories of one revision (100,000), Depth
	// how deep they lie (64).
	Files, Depth int64
	// FileBytes bounds a file that is read (8 MiB); larger ones are listed.
	FileBytes int64
	// Time bounds the whole look (2 min), and Silence how long a server may send
	// nothing in it (30 s).
	Time, Silence time.Duration
}

func (l Limits) orDefault() Limits {
	return Limits{
		ListingBytes:  cmp.Or(l.ListingBytes, 32<<20),
		PackBytes:     cmp.Or(l.PackBytes, 64<<20),
		UnpackedBytes: cmp.Or(l.UnpackedBytes, 512<<20),
		ObjectBytes:   cmp.Or(l.ObjectBytes, 32<<20),
		Objects:       cmp.Or(l.Objects, 500_000),
		Files:         cmp.Or(l.Files, 100_000),
		Depth:         cmp.Or(l.Depth, 64),
		FileBytes:     cmp.Or(l.FileBytes, 8<<20),
		Time:          cmp.Or(l.Time, 2*time.Minute),
		Silence:       cmp.Or(l.Silence, 30*time.Second),
	}
}

// LimitError says which of the [Limits] was passed. It is an [ErrLimit].
type LimitError struct {
	Limit string // the field of Limits
	Max   int64
	What  string // what was too much
}

// Error names the limit and both ways out.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %v, %s is %d: keep the mappings in a smaller repository, or raise %s",
		e.What, ErrLimit, e.Limit, e.Max, e.Limit)
}

// Is makes every LimitError an [ErrLimit].
func (e *LimitError) Is(target error) bool { return target == ErrLimit }
