package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// A pack comes from outside and can be a bomb three times over: deflate expands a
// thousandfold, a delta of a few bytes copies megabytes, and deltas lean on
// deltas. go-git's parser inflates whole objects into memory, so the order here is:
//
//	spool    the bytes as they come, counted by the transport
//	examine  every object's header and inflated length, streaming, kept nowhere
//	judge    how long the chains of deltas are, as far as they name bases by place
//	index    with go-git, now that nothing in the pack is larger than allowed
//	judge    again, now that the bases named by hash are known too
//
// The pack stays compressed and files are inflated as they are read.

// cacheBytes is what go-git may keep inflated. Trees are read once and files a
// few times, so little is gained by more.
const cacheBytes = 4 << 20

const packDir = "objects/pack"

// unpack reads a pack into a storage of its own: in memory, or in a new directory
// below workDir.
func unpack(ctx context.Context, r io.Reader, workDir string, limits Limits) (*objects, error) {
	disk, drop, err := scratch(workDir)
	if err != nil {
		return nil, err
	}
	if err := spool(ctx, r, disk, limits); err != nil {
		return nil, errors.Join(err, drop())
	}
	return &objects{store: storageOn(disk), limits: limits, drop: drop}, nil
}

func storageOn(disk billy.Filesystem) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(disk, cache.NewObjectLRU(cacheBytes), filesystem.Options{KeepDescriptors: true})
}

func scratch(workDir string) (billy.Filesystem, func() error, error) {
	if workDir == "" {
		return memfs.New(), func() error { return nil }, nil
	}
	place, err := newStore(workDir)
	if err != nil {
		return nil, nil, err
	}
	return osfs.New(place.dir, osfs.WithBoundOS()), place.drop, nil
}

func spool(ctx context.Context, r io.Reader, disk billy.Filesystem, limits Limits) (err error) {
	if err := disk.MkdirAll(packDir, 0o700); err != nil {
		return fmt.Errorf("store pack: %w", err)
	}
	incoming := disk.Join(packDir, "incoming")
	f, err := disk.Create(incoming)
	if err != nil {
		return fmt.Errorf("store pack: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		return fmt.Errorf("receive pack: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("store pack: %w", err)
	}
	objects, err := examine(ctx, f, limits)
	if err != nil {
		return err
	}
	if err := objects.judge(limits, nowhere); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("store pack: %w", err)
	}
	idx, err := index(f, disk, incoming)
	if err != nil {
		return err
	}
	return objects.judge(limits, func(hash plumbing.Hash) (int64, bool) {
		offset, err := idx.FindOffset(hash)
		return offset, err == nil
	})
}

// examine walks the pack once, lists its objects, and refuses it if it is broken
// or would grow beyond the limits.
func examine(ctx context.Context, f io.Reader, limits Limits) (pack, error) {
	s := packfile.NewScanner(f)
	_, count, err := s.Header()
	if err != nil {
		return nil, fmt.Errorf("read pack: %w", err)
	}
	if int64(count) > limits.Objects {
		return nil, over("Objects", limits.Objects, "fetch of %d objects", count)
	}
	var objects pack
	var total int64
	for range count {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read pack: %w", err)
		}
		h, err := s.NextObjectHeader()
		if err != nil {
			return nil, malformed("pack: %v", err)
		}
		if h.Length > limits.ObjectBytes {
			return nil, over("ObjectBytes", limits.ObjectBytes, "fetch of an object of %d bytes", h.Length)
		}
		var start prefix
		if _, _, err := s.NextObject(&start); err != nil {
			return nil, malformed("pack: %v", err)
		}
		size := h.Length
		if h.Type.IsDelta() {
			size = max(size, start.deltaTarget())
		}
		if size > limits.ObjectBytes {
			return nil, over("ObjectBytes", limits.ObjectBytes, "fetch of an object of %d bytes", size)
		}
		if total += size; total > limits.UnpackedBytes {
			return nil, over("UnpackedBytes", limits.UnpackedBytes, "fetch of more than %d bytes", limits.UnpackedBytes)
		}
		o := packed{offset: h.Offset, size: size, base: -1}
		switch h.Type {
		case plumbing.OFSDeltaObject:
			o.base = h.OffsetReference
		case plumbing.REFDeltaObject:
			o.ref = h.Reference
		}
		objects = append(objects, o)
	}
	if _, err := s.Checksum(); err != nil {
		return nil, malformed("pack: %v", err)
	}
	return objects, nil
}

func over(limit string, most int64, what string, args ...any) error {
	return remedy.Mark(remedy.Hold, &LimitError{Limit: limit, Max: most, What: fmt.Sprintf(what, args...)})
}

// prefix keeps the first bytes written to it: room for the two sizes that a delta
// starts with, see https://git-scm.com/docs/pack-format.
type prefix struct {
	kept [20]byte
	n    int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.n += copy(p.kept[p.n:], b)
	return len(b), nil
}

// deltaTarget returns the size that a delta says its result has, and go-git holds
// it to that. One that cannot be read is left for go-git to refuse.
func (p *prefix) deltaTarget() int64 {
	rest := p.kept[:p.n]
	var size int64
	for range 2 { // of the base, of the result
		size = 0
		for shift := 0; ; shift += 7 {
			if len(rest) == 0 || shift > 56 {
				return 0
			}
			b := rest[0]
			rest = rest[1:]
			size |= int64(b&0x7f) << shift
			if b&0x80 == 0 {
				break
			}
		}
	}
	return size
}

// index computes every object's hash and writes pack and index as Git names them.
func index(f billy.File, disk billy.Filesystem, incoming string) (_ *idxfile.MemoryIndex, err error) {
	table := new(idxfile.Writer)
	parser, err := packfile.NewParser(packfile.NewScanner(f), table)
	if err != nil {
		return nil, malformed("pack: %v", err)
	}
	sum, err := parser.Parse()
	if err != nil {
		return nil, malformed("pack: %v", err)
	}
	idx, err := table.Index()
	if err != nil {
		return nil, malformed("pack: %v", err)
	}
	name := disk.Join(packDir, "pack-"+sum.String())
	out, err := disk.Create(name + ".idx")
	if err != nil {
		return nil, fmt.Errorf("store pack: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := idxfile.NewEncoder(out).Encode(idx); err != nil {
		return nil, fmt.Errorf("store pack: %w", err)
	}
	if err := disk.Rename(incoming, name+".pack"); err != nil {
		return nil, fmt.Errorf("store pack: %w", err)
	}
	return idx, nil
}
