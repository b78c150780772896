package hubd

import (
	"net/http"
	"strconv"
	"strings"
)

// Fault makes requests go wrong. A request meets the first fault that concerns it.
type Fault struct {
	Method string // empty concerns all
	Path   string // a part of the path; empty concerns all
	Skip   int    // so many pass unharmed first
	Times  int    // so many go wrong; 0 means all

	Status     int  // 502 if zero
	RetryAfter int  // seconds; none if zero
	Done       bool // the request takes effect all the same
	Cut        bool // the connection breaks in place of an answer
	Hang       bool // nothing is answered, and nothing done, until the client gives up

	hits int
}

// AddFault puts a fault in force and returns how to lift it.
func (s *Server) AddFault(f Fault) (lift func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := &f
	s.faults = append(s.faults, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, other := range s.faults {
			if other == added {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
				return
			}
		}
	}
}

// faultOf returns the fault that a request meets, or nil, and counts the hit.
func (s *Server) faultOf(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) || f.Times > 0 && f.hits >= f.Skip+f.Times {
			continue
		}
		if f.hits++; f.hits > f.Skip {
			return f
		}
	}
	return nil
}

func (f *Fault) answer() answer {
	code := f.Status
	if code == 0 {
		code = http.StatusBadGateway
	}
	a := refusal(code, http.StatusText(code))
	if f.RetryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	return a
}
