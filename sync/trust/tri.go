package trust

// tri is Kleene's third value beside no and yes: what hangs on a value that
// lanyard cannot know. The order no < maybe < yes makes "and" a minimum and "or"
// a maximum.
type tri uint8

const (
	no tri = iota
	maybe
	yes
)

func not(t tri) tri { return yes - t }

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}
