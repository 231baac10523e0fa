// Package web holds the web pages that the program serves. Their source is in
// src; build.sh makes dist from it, which is committed and embedded.
package web

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Dist is the tree of static files: pages, scripts, styles and the licences of
// what others wrote.
func Dist() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		// fs.Sub fails only for a malformed name, and this one is fixed.
		panic(err)
	}
	return sub
}
