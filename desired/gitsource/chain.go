package gitsource

import (
	"cmp"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// rework bounds what reading a fetch may take, in multiples of what it unpacks to:
// a delta is applied to its base, which may be a delta in turn, so that a pack of
// 20 KB can hold objects that each take half a gigabyte of copying. Git makes
// chains of up to 50, of which few are of large files.
const rework = 8

// packed is an object as it lies in a pack.
type packed struct {
	offset int64
	size   int64         // inflated, and of the result if it is a delta
	base   int64         // offset of what it is a delta against, if not negative
	ref    plumbing.Hash // the same by hash, if not zero
	work   int64         // bytes that reading it takes; zero while unknown
}

// pack is the objects of one, by offset.
type pack []packed

// at returns the object at an offset; nil if none begins there.
func (p pack) at(offset int64) *packed {
	i, ok := slices.BinarySearchFunc(p, offset, func(o packed, offset int64) int { return cmp.Compare(o.offset, offset) })
	if !ok {
		return nil
	}
	return &p[i]
}

// judge refuses a pack whose deltas take too much work. find tells where the
// object of a hash lies; one that it does not know counts as no work.
func (p pack) judge(limits Limits, find func(plumbing.Hash) (int64, bool)) error {
	for i := range p {
		p[i].work = 0
	}
	var total int64
	for i := range p {
		work := p.work(&p[i], find)
		if most := rework * limits.ObjectBytes; work > most {
			return over("ObjectBytes", limits.ObjectBytes, "fetch of an object whose deltas take more than %d bytes to read", most)
		}
		if total += work; total > rework*limits.UnpackedBytes {
			return over("UnpackedBytes", limits.UnpackedBytes, "fetch whose deltas take more than %d bytes to read", rework*limits.UnpackedBytes)
		}
	}
	return nil
}

// work ends on packs that are no packs too: what is being worked out counts as its
// own size, should it be met again.
func (p pack) work(o *packed, find func(plumbing.Hash) (int64, bool)) int64 {
	if o.work > 0 {
		return o.work
	}
	o.work = max(o.size, 1)
	offset := o.base
	if !o.ref.IsZero() {
		var known bool
		if offset, known = find(o.ref); !known {
			return o.work
		}
	}
	if base := p.at(offset); base != nil {
		o.work += p.work(base, find)
	}
	return o.work
}

// nowhere is for a pack that has no index yet.
func nowhere(plumbing.Hash) (int64, bool) { return 0, false }
