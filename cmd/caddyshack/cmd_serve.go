package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"caddyshack/conductor"
	"caddyshack/pxe/images"
	"caddyshack/pxe/images/demo"
)

type serveCmd struct {
	Config    string `type:"path" help:"Configuration file; caddyshack config example prints one."`
	Listen    string `help:"Address of the API, instead of api.listen."`
	ReadyFile string `type:"path" help:"Write the addresses there, as JSON, once everything serves."`

	wrapStore func(conductor.Store) conductor.Store // see daemon
}

// Run serves until a signal; SIGHUP reads the configuration anew.
func (cmd serveCmd) Run(ctx context.Context) error {
	if cmd.Config == "" {
		return &configError{"serve needs --config FILE; `caddyshack config example > FILE` makes one, and `caddyshack demo` needs none"}
	}
	cfg, err := cmd.load()
	if err != nil {
		return err
	}
	level, log, err := newLogger(cfg.Log)
	if err != nil {
		return err
	}
	image := newDemoImage(log, false)
	d := &daemon{cfg: cfg, log: log, builtins: map[string]images.Builtin{demo.Name: image}, wrapStore: cmd.wrapStore}
	if err := d.open(ctx); err != nil {
		return err
	}
	defer d.closeLogged()
	if cfg.Images.DefaultImage == demoImageURL || cfg.Images.RescueImage == demoImageURL {
		go prepareImage(ctx, image, log)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for range hup {
			next, err := cmd.load()
			if err != nil {
				log.Error("the new configuration is refused, the old one stays", "err", err)
				continue
			}
			d.reload(next, level)
		}
	}()
	return d.run(ctx, func(r ready) error {
		log.Info("ready", "api", r.API, "mqtt", r.MQTT, "tftp", r.TFTP, "nfs", r.NFS)
		return writeJSONFile(cmd.ReadyFile, r)
	})
}

func (cmd serveCmd) load() (*Config, error) {
	cfg, err := loadConfig(cmd.Config)
	if err != nil {
		return nil, err
	}
	if cmd.Listen != "" {
		cfg.API.Listen = cmd.Listen
		if err := cfg.check(); err != nil {
			return nil, &configError{fmt.Sprintf("--listen %s: %v", cmd.Listen, err)}
		}
	}
	return cfg, nil
}
