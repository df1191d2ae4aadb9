from skeltools.cli import main

main()
