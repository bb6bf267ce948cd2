print("application a")
