from senti_tasks.cli import main

main()
