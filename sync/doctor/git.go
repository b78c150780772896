package doctor

import (
	"fmt"
	"strings"
	"time"
)

// Configuration is the operator's file.
type Configuration struct {
	File     string   // empty: none was named
	Problems []string // one a line, each with its place and what to write
	Cluster  string
	Mode     string
	Features []string
}

// Judge tells whether it parses.
func (f Configuration) Judge() Check {
	id := IDConfiguration
	switch {
	case len(f.Problems) > 0:
		return id.check(Failed, f.Problems...).fix("mend the file; lanyard schema configuration prints what it may hold")
	case f.File == "":
		return Skip(id, "none is named with --config: mode "+f.Mode+" is taken")
	}
	seen := fmt.Sprintf("%s: cluster %s, mode %s", f.File, f.Cluster, f.Mode)
	if len(f.Features) > 0 {
		seen += ", with " + strings.Join(f.Features, ", ")
	}
	return id.check(OK, seen)
}

// File is one that the configuration or a flag names.
type File struct {
	What, Path string
	Problem    string // why it cannot be used
}

// Files are all of them.
type Files []File

// Judge tells which cannot be used.
func (f Files) Judge() Check {
	id := IDFiles
	if len(f) == 0 {
		return Skip(id, "no file is named")
	}
	var bad, good []string
	for _, one := range f {
		if one.Problem != "" {
			bad = append(bad, one.What+" "+one.Path+": "+one.Problem)
		} else {
			good = append(good, one.What+" "+one.Path)
		}
	}
	if len(bad) > 0 {
		return id.check(Failed, bad...).fix("put the file there, readable by the user that lanyard runs as; in a pod, see the Secret that is mounted there")
	}
	return id.check(OK, strings.Join(good, ", "))
}

// Key is one whose signatures count.
type Key struct {
	Name     string
	From     time.Time // zero: no beginning
	Until    time.Time // zero: no end
	Revoked  bool
	Unusable string // why it signs no commit, whatever the time
}

// keySoon is how long before its end a key is somebody's concern.
const keySoon = 14 * 24 * time.Hour

// SignatureKeys are those of source.verify.
type SignatureKeys struct {
	Asked   bool // source.verify is set
	Problem string
	Keys    []Key
	Now     time.Time
}

// Judge tells whether any is good, and which are not.
func (f SignatureKeys) Judge() Check {
	id := IDSignatureKeys
	switch {
	case !f.Asked:
		return Skip(id, "source.verify asks for no signature")
	case f.Problem != "":
		return id.check(Failed, f.Problem).fix("export the keys anew: gpg --armor --export for gpgKeysFile, lines of principal, key type and key for allowedSignersFile")
	}
	var good int
	var seen []string
	soon := false
	for _, k := range f.Keys {
		switch {
		case k.Revoked:
			seen = append(seen, k.Name+" is revoked")
		case k.Unusable != "":
			seen = append(seen, k.Name+" "+k.Unusable)
		case !k.Until.IsZero() && !f.Now.Before(k.Until):
			seen = append(seen, k.Name+" expired at "+stamp(k.Until))
		case !k.From.IsZero() && f.Now.Before(k.From):
			seen = append(seen, k.Name+" is valid from "+stamp(k.From))
		case !k.Until.IsZero() && k.Until.Sub(f.Now) < keySoon:
			good++
			soon = true
			seen = append(seen, k.Name+" expires at "+stamp(k.Until))
		default:
			good++
		}
	}
	head := fmt.Sprintf("%d of %d keys can sign now", good, len(f.Keys))
	switch {
	case good == 0:
		return id.check(Failed, append([]string{head + ": every commit will be held"}, seen...)...).fix("put current keys into the files that source.verify names")
	case soon:
		return id.check(Warning, append([]string{head}, seen...)...).fix("have the keys prolonged, and put them into the files that source.verify names")
	}
	return id.check(OK, append([]string{head}, seen...)...)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// GitSource is the way to the repository.
type GitSource struct {
	Trouble
	Where    string // URL without credentials, or directories
	Revision string
}

// Judge tells whether it can be read.
func (f GitSource) Judge() Check {
	id := IDGitSource
	if f.Is() {
		return f.unreachable(id, "see source.url, source.ref and the credentials of source.auth: git ls-remote with the same ones must show the ref")
	}
	return id.check(OK, f.Where+" at "+f.Revision)
}

// Signature is whether the head is signed.
type Signature struct {
	Trouble        // nothing was read
	Asked   bool   // source.verify is set
	Problem string // what is wrong with it
	Next    string
}

// Judge tells whether it counts.
func (f Signature) Judge() Check {
	id := IDSignature
	switch {
	case !f.Asked:
		return Skip(id, "source.verify asks for no signature")
	case f.Problem != "":
		return id.check(Failed, f.Problem, "lanyard keeps to the last accepted commit").fix("%s", f.Next)
	case f.Is():
		return id.check(Unknown, "the head was not read: see "+string(IDGitSource)).fix("mend %s first", IDGitSource)
	}
	return id.check(OK, "a key of the set has signed the head")
}

// Revision is whether the head's documents parse.
type Revision struct {
	Trouble           // nothing was read, or it was not verified
	Problems []string // one a line, each with its place and what to write
	Mappings int      // for this cluster
	Known    bool     // the cluster is known, so that mappings could be counted
}

// shownProblems bounds how many of a repository's mistakes are shown.
const shownProblems = 10

// Judge tells whether it would be accepted.
func (f Revision) Judge() Check {
	id := IDRevision
	if f.Is() {
		return id.check(Unknown, f.Message).fix("mend %s and %s first", IDGitSource, IDSignature)
	}
	if n := len(f.Problems); n > 0 {
		seen := append([]string{fmt.Sprintf("the revision is not accepted: %d problems", n)}, f.Problems[:min(n, shownProblems)]...)
		if n > shownProblems {
			seen = append(seen, fmt.Sprintf("and %d more", n-shownProblems))
		}
		return id.check(Failed, seen...).fix("mend the files; lanyard validate --path DIR shows all of them")
	}
	switch {
	case !f.Known:
		return id.check(OK, "every document is well formed")
	case f.Mappings == 0:
		return id.check(Warning, "no mapping is for this cluster").fix("see source.paths, and the mappings' spec.clusters")
	}
	return id.check(OK, fmt.Sprintf("mappings for this cluster: %d", f.Mappings))
}
