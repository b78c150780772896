// Package outline is the report of migrations: for every workload that uses AWS, on
// which mechanism it is, which one Git wants, whether Pod Identity can serve it, where
// it stands, and what would be done.
//
// [New] makes an [Outline] from Git and a look at the live world; it has a stable JSON
// form, and is written as a table, as one workload in full, as Markdown, CSV and HTML.
// What decides is package migrate; nothing here does. The package is pure: it writes to
// what it is given.
//
//	o := outline.New(state, snapshot, outline.Options{})
//	err := o.Table(os.Stdout, outline.View{})
package outline
