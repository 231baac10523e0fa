package main

import (
	_ "embed"
	"fmt"
)

type configCmd struct {
	Example configExampleCmd `cmd:"" help:"Print a commented example."`
	Check   configCheckCmd   `cmd:"" help:"Check a file and say what is wrong."`
}

//go:embed config_example.toml
var exampleConfig string

type configExampleCmd struct{}

// Run prints the example.
func (configExampleCmd) Run() error {
	_, err := fmt.Print(exampleConfig)
	return err
}

type configCheckCmd struct {
	File string `arg:"" help:"The configuration file."`
}

// Run checks the file.
func (c configCheckCmd) Run() error {
	if _, err := loadConfig(c.File); err != nil {
		return err
	}
	fmt.Println(c.File, "is fine")
	return nil
}
