package desired

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// Repository is what the documents of one revision say, for no cluster yet.
type Repository struct {
	revision Revision
	drafts   []draft
	waivers  []waiverDraft
	counts   Counts
}

// Counts says what a revision holds.
type Counts struct {
	Files    int // that were read
	Mappings int
	Defaults int
	Waivers  int
	Skipped  int // documents of other API groups
}

// draft is a mapping with defaults applied, whose templates wait for a cluster.
type draft struct {
	mapping      Mapping // without Role and PodIdentity.TargetRole
	role, target template
	clusters     []string // empty: every cluster
}

// template is a role ARN with variables, and its place.
type template struct {
	text string
	at   Position
	path string
}

type waiverDraft struct {
	waiver Waiver
	role   template
}

// Bounds on a revision. Whatever lies in a repository costs time and memory in the
// measure of its bytes, and one blob may stand under many names, so that bytes
// count each time they are read.
const (
	// MaxBytes bounds the YAML files of a revision together.
	MaxBytes = 64 << 20
	// MaxDocuments bounds its documents, empty ones and those of other API groups
	// included.
	MaxDocuments = 50_000
)

// Parse reads every *.yaml and *.yml file of fsys at or below paths; the whole of
// fsys where there are none. It stops at [MaxBytes] and [MaxDocuments]. Its error is [Errors], with every mistake of the
// revision that can be seen without a cluster, those of [Repository.Check]
// included; or, where fsys cannot be read, the error that wraps fsys's.
func Parse(fsys fs.FS, paths []string, rev Revision) (*Repository, error) {
	return ParseShown(fsys, paths, rev, func(name string) string { return name })
}

// ParseShown is [Parse] for files that go by other names where their readers are:
// show is given names of fsys and returns what every [Position] says, such as a
// path that an editor opens.
func ParseShown(fsys fs.FS, paths []string, rev Revision, show func(name string) string) (*Repository, error) {
	p := &parser{
		repo:     &Repository{revision: rev},
		fsys:     fsys,
		show:     show,
		defaults: map[string]overlay{},
	}
	w := &walker{fsys: fsys, show: show, errs: &p.errs, seen: map[string]bool{}}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, name := range paths {
		if err := w.find(name); err != nil {
			return nil, err
		}
	}
	slices.Sort(w.files)
	for _, name := range w.files {
		if p.errs.full || p.bytes > MaxBytes || p.documents > MaxDocuments {
			break
		}
		if err := p.file(name); err != nil {
			return nil, err
		}
	}
	for _, raw := range p.mappings {
		p.draft(raw)
	}
	if len(p.errs.errs) == 0 {
		return p.repo, nil
	}
	var further Errors
	if errors.As(p.repo.Check(), &further) {
		p.errs.errs = append(p.errs.errs, further...)
	}
	return nil, p.errs.errs.orNil()
}

// Counts returns what the revision holds.
func (r *Repository) Counts() Counts { return r.counts }

// Revision returns the revision that was read.
func (r *Repository) Revision() Revision { return r.revision }

// parser holds what is known while a revision is read.
type parser struct {
	fsys      fs.FS
	show      func(string) string
	errs      collector
	repo      *Repository
	bytes     int
	documents int
	mappings  []overlay
	defaults  map[string]overlay // by directory
}

// overlay are the values of a mapping or of defaults, and their document.
type overlay struct {
	fields fields
	dir    string
	at     Position
	bad    bool // it has mistakes
}

func (p *parser) file(name string) error {
	data, err := read(p.fsys, name)
	if err != nil {
		return err
	}
	p.repo.counts.Files++
	shown := p.show(name)
	if p.bytes += len(data); p.bytes > MaxBytes {
		p.errs.add(Position{File: shown}, fmt.Sprintf("more than %d MiB of YAML files", MaxBytes>>20), "watch fewer paths")
		return nil
	}
	if len(data) > maxFile {
		p.errs.add(Position{File: shown}, "the file is over 1 MiB", "split it")
		return nil
	}
	d := decoder{file: shown, source: data, errs: &p.errs}
	eachDocument(shown, data, &p.errs, func(root *yaml.Node) bool {
		if p.documents++; p.documents > MaxDocuments {
			d.wrong(root, fmt.Sprintf("more than %d documents", MaxDocuments), "watch fewer paths")
			return false
		}
		if root.Kind != 0 {
			p.document(d, path.Dir(name), root)
		}
		return true
	})
	return nil
}

// document sorts one document, of a file in dir, by what it says it is.
func (p *parser) document(d decoder, dir string, root *yaml.Node) {
	kind, ours := d.header(root, kindMapping+", or move the file out of the watched paths")
	switch {
	case kind == "":
		return
	case !ours:
		p.repo.counts.Skipped++
		return
	case kind == kindConfiguration:
		d.wrong(root, "kind Configuration is the operator's", "keep it out of the repository and give it to lanyard with --config")
		return
	}
	i := slices.IndexFunc(documents, func(of documentKind) bool { return of.kind == kind })
	if i < 0 {
		d.unknownKind(root, kind)
		return
	}
	values, good := d.decode(root, documents[i].shape, kind)
	o := overlay{fields: values, dir: dir, at: d.at(root), bad: !good}
	switch kind {
	case kindMapping:
		p.repo.counts.Mappings++
		if good {
			p.mappings = append(p.mappings, o)
		}
	case kindDefaults:
		p.repo.counts.Defaults++
		if first, twice := p.defaults[dir]; twice {
			d.wrong(root, fmt.Sprintf("a second IdentityDefaults for directory %s, the first is at %s", printable(p.show(dir)), first.at), "write one")
			return
		}
		p.defaults[dir] = o
	case kindWaiver:
		p.repo.counts.Waivers++
		if good {
			p.waiver(o)
		}
	}
}

// header returns a document's kind and whether its group is lanyard's. The kind
// is "" where it was wrong and said to be: one that says neither is told the kind to write.
func (d decoder) header(root *yaml.Node, write string) (kind string, ours bool) {
	var version, what *yaml.Node
	if root.Kind == yaml.MappingNode {
		own, _ := pairs(root)
		for _, p := range own {
			switch {
			case p.key.Value == "apiVersion" && version == nil:
				version = p.value
			case p.key.Value == "kind" && what == nil:
				what = p.value
			}
		}
	}
	if version == nil || what == nil || !isText(version) || !isText(what) || version.Value == "" || what.Value == "" {
		d.wrong(root, "a document without apiVersion and kind", "write apiVersion: "+APIVersion+" and kind: "+write)
		return "", false
	}
	of, _, _ := strings.Cut(version.Value, "/")
	ours = of == group || isKind(what.Value) && nearest(of, []string{group}) != "" // a slip must not read as "gone from Git"
	if !ours {
		return what.Value, false
	}
	if version.Value != APIVersion {
		d.wrong(version, fmt.Sprintf("apiVersion %s is unknown", quote(version.Value)), "write "+APIVersion)
		return "", true
	}
	return what.Value, true
}

// isKind reports whether a kind is one of lanyard's.
func isKind(kind string) bool {
	return slices.ContainsFunc(documents, func(of documentKind) bool { return of.kind == kind })
}

func (d decoder) unknownKind(root *yaml.Node, kind string) {
	kinds := make([]string, len(documents))
	for i, of := range documents {
		kinds[i] = of.kind
	}
	at := root
	own, _ := pairs(root)
	for _, p := range own {
		if p.key.Value == "kind" {
			at = p.value
			break
		}
	}
	d.wrong(at, fmt.Sprintf("kind %s is unknown", quote(kind)), "write "+choice(kinds))
}

// waiver reads an AuditWaiver whose document is right in itself.
func (p *parser) waiver(o overlay) {
	f := o.fields
	w := Waiver{
		Name: f.text("metadata.name"), Check: f.text("spec.check"), Owner: f.text("spec.owner"), Reason: f.text("spec.reason"),
		Subject: identity.Subject{Namespace: f.text("spec.namespace"), ServiceAccount: f.text("spec.serviceAccount")},
		At:      f["spec.check"].at,
	}
	w.Expires, _ = parseDate(f.text("spec.expires"))
	role := templateAt(f, "spec.roleARN")
	one := w.Subject.Namespace != "" && w.Subject.ServiceAccount != ""
	none := w.Subject.IsZero()
	if role.text == "" && !one || role.text != "" && !none {
		p.errs.add(w.At, "a waiver is for one ServiceAccount or for one role", "write namespace and serviceAccount, or roleARN alone")
		return
	}
	p.repo.waivers = append(p.repo.waivers, waiverDraft{waiver: w, role: role})
}

func templateAt(f fields, key string) template {
	return template{text: f.text(key), at: f[key].at, path: key}
}
