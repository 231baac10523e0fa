package main

import (
	"context"
	"log/slog"

	"caddyshack/pxe/images/demo"
)

// demoImageURL is the image_source of the demo image.
const demoImageURL = "builtin:" + demo.Name

// newDemoImage makes the builder of the demo image; its Prepare runs in the
// background. requireReal is for those who run the image, and not only look at it.
func newDemoImage(log *slog.Logger, requireReal bool) *demo.Builder {
	return demo.New(demo.Config{RequireReal: requireReal, Log: log.With("part", "demo image")})
}

// prepareImage makes the demo image, or takes it from the cache; deploys that
// need it wait meanwhile, and say so.
func prepareImage(ctx context.Context, image *demo.Builder, log *slog.Logger) {
	if err := image.Prepare(ctx); err != nil && ctx.Err() == nil {
		log.Error("the demo image could not be made", "err", err)
	}
}
