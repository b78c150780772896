package hubd

import (
	"slices"
	"strings"
	"time"
)

// Pull is a pull request. Its content is in Git.
type Pull struct {
	Number           int // given by [Server.Open]
	Title            string
	Author           string // "" for an account that is gone
	Branch           string // of the head
	Head             string // its commit
	Fork             string // owner/name of the repository that the head is in, if another one
	Gone             bool   // that repository was deleted: GitHub says null
	Base             string
	Draft            bool
	Closed           bool
	Merged           bool
	Locked           bool // only who has write access may comment
	Created, Updated time.Time
}

// Comment is one on a pull request.
type Comment struct {
	ID               int64
	Author           string
	Body             string
	Created, Updated time.Time
	Edits            int
}

// Status is one of a commit.
type Status struct {
	ID                                  int64
	State, Context, Description, Target string
	Creator                             string
	Created                             time.Time
}

// Open opens a pull request and returns its number.
func (s *Server) Open(p Pull) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	p.Number = len(s.pulls) + 1
	p.Created = s.opts.Now()
	p.Updated = p.Created
	s.pulls = append(s.pulls, &p)
	return p.Number
}

// Change changes a pull request: its head, its base, that it is closed.
func (s *Server) Change(number int, change func(*Pull)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pulls[number-1]
	change(p)
	p.Updated = s.opts.Now()
}

// Push moves a pull request's head.
func (s *Server) Push(number int, head string) {
	s.Change(number, func(p *Pull) { p.Head = head })
}

// Say comments as somebody else would, and returns the comment's ID.
func (s *Server) Say(number int, author, body string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.say(number, author, body).ID
}

func (s *Server) say(number int, author, body string) *Comment {
	s.nextID++
	now := s.opts.Now()
	c := &Comment{ID: s.nextID, Author: author, Body: body, Created: now, Updated: now}
	s.comments[number] = append(s.comments[number], c)
	s.pulls[number-1].Updated = now
	return c
}

// Rewrite changes a comment as somebody with write access may.
func (s *Server) Rewrite(id int64, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.comments {
		for _, c := range of {
			if c.ID == id {
				c.Body = body
			}
		}
	}
}

// Mark sets a commit's status as somebody else would.
func (s *Server) Mark(commit string, st Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(commit, st)
}

func (s *Server) mark(commit string, st Status) *Status {
	s.nextID++
	st.ID, st.Created = s.nextID, s.opts.Now()
	s.statuses[commit] = append(s.statuses[commit], &st)
	return &st
}

// Comments returns those of a pull request, oldest first.
func (s *Server) Comments(number int) []Comment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.comments[number])
}

// Statuses returns those of a commit, oldest first.
func (s *Server) Statuses(commit string) []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.statuses[commit])
}

func values[T any](of []*T) []T {
	out := make([]T, len(of))
	for i, v := range of {
		out[i] = *v
	}
	return out
}

// known reports whether a commit is in the repository's network, as far as this API
// knows: the head of a pull request, now or once.
func (s *Server) known(commit string) bool {
	return slices.ContainsFunc(s.pulls, func(p *Pull) bool { return p.Head == commit }) || len(s.statuses[commit]) > 0
}

// owner is the first half of a repository's name.
func owner(repository string) string {
	name, _, _ := strings.Cut(repository, "/")
	return name
}

// Pulls returns all pull requests, in the order of their numbers.
func (s *Server) Pulls() []Pull {
	s.mu.Lock()
	defer s.mu.Unlock()
	return values(s.pulls)
}
