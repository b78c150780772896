package browser

import (
	"os"
	"path/filepath"
	"testing"
)

// states are those that the page is looked at in.
var states = []struct {
	name string
	of   func(*testing.T) *world
}{{"in-sync", inSync}, {"drifting", drifting}, {"migrating", migrating}, {"blind", blind}}

// TestPictures writes pictures of the page in its states to the directory that
// LANYARD_PICTURES names, as it opens and with everything unfolded, for somebody to look
// at.
func TestPictures(t *testing.T) {
	dir := os.Getenv("LANYARD_PICTURES")
	if dir == "" {
		t.Skip("LANYARD_PICTURES names no directory")
	}
	check(t, os.MkdirAll(dir, 0o755))
	c := chrome(t)
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) {
			w := s.of(t)
			for _, on := range []screen{desktop, phone} {
				for _, scheme := range []string{"light", "dark"} {
					file := filepath.Join(dir, s.name+"-"+on.Name+"-"+scheme)
					b := open(t, c, w, "/", on, scheme)
					check(t, os.WriteFile(file+".png", b.shot(0), 0o644))
					check(t, os.WriteFile(file+"-top.png", b.shot(on.Height), 0o644))
					eval[bool](b, `document.querySelectorAll('details').forEach((d) => { d.open = true }), true`)
					check(t, os.WriteFile(file+"-open.png", b.shot(0), 0o644))
				}
			}
		})
	}
}
